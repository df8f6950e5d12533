"""The network under faults: `make test-faults`, and a short form of it in `make test`.

Real processes (three workers, two sites, a database, Valkey) serve twenty games, three replicas, a gossip-backbone
mirror, owners and a moderator while faults happen. Afterwards a checker compares what the clients sent with what they
received.

    network.py   the processes, started again when they end      faults.py    what happens to them, and the order
    proxy.py     what all connections go through                 scenario.py  one run from start to verdict
    peer.py, games.py, replicas.py, people.py                    the clients
    recording.py, checker.py                                     what they sent and received; what is wrong with it
    figures.py                                                   memory and descriptors

The clients, the recording and the checker import nothing of the code under test.
"""
