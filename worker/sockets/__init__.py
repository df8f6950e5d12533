"""The sockets this worker holds, with their heartbeats and limits."""
