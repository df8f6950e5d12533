"""The wire: sockets, frames and the one way out. Imports nothing else of the worker."""
