"""The client's side of telnet as text games speak it, without I/O: bytes in, events and bytes out.

Why it is our own code: docs/decisions/0022-own-telnet-engine.md.
"""
