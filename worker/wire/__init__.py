"""The wire: sockets, frames and the fan-out. Imports nothing else from the worker."""
