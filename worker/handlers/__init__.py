"""Handles the events: one module for each support flag. `worker/routes.py` maps events to these functions.

A handler takes the worker's parts, the connection and the decoded payload. It returns None (a bare success), a payload
or a list of payloads, `ANSWERED` or a `Deferred`, and raises domain errors. It must not wait for another socket.
"""
