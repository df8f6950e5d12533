"""What happens on each event: one module a support flag. `worker/routes.py` says which function is whose.

A handler gets the connection and the decoded payload; it returns None (a bare success), a payload or a list of them,
`ANSWERED` or a `Deferred`, and raises domain errors. It must not wait for another socket.
"""
