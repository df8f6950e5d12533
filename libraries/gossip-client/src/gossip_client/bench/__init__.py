"""Plays the network to a client that somebody is writing, and says what it does right and wrong.

`script.py` has the walk, `checks.py` what is checked, `server.py` the sockets, `network.py` the answers, and
`client_frames.py` the rules for what clients send.
"""
