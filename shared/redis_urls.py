"""The addresses that REDIS_URL may hold: one server, or a node of a cluster."""

from __future__ import annotations

CLUSTER_SCHEMES = {"redis+cluster": "redis", "rediss+cluster": "rediss"}
SCHEMES = ("redis", "rediss", "unix", *CLUSTER_SCHEMES)


def is_cluster(url: str) -> bool:
    """Return whether an address names a cluster."""
    return url.partition("://")[0] in CLUSTER_SCHEMES


def node_url(url: str) -> str:
    """Return the address of one node, in the form for a single server. Other addresses are returned as they are."""
    scheme, separator, rest = url.partition("://")
    return CLUSTER_SCHEMES.get(scheme, scheme) + separator + rest
