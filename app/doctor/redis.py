"""Redis or Valkey: reachable, recent enough, does not drop keys, passes signals on."""

from __future__ import annotations

import time
import uuid
from typing import Any

import redis

from app.doctor.findings import Findings, one_line
from app.doctor.machine import check_clock
from shared import redis_urls
from shared.bus import Bus
from shared.settings import Settings, embedded_redis_socket
from shared.signals import TOPIC_PREFIX, Signal

OLDEST_VERSION = (6, 0)
ROUND_TRIP_SECONDS = 2.0


class SignalProbe(Signal, frozen=True):
    """A signal that nobody but this check receives."""

    topic = "doctor"

    token: str


def check_redis(settings: Settings, findings: Findings) -> None:
    """Check the server of REDIS_URL, or the node of a cluster that it names. Leaves nothing behind."""
    url = redis_urls.node_url(settings.redis_url)
    client = redis.Redis.from_url(url, socket_connect_timeout=3, socket_timeout=3)
    try:
        is_reachable = _check_server(client, settings, findings)
    finally:
        client.close()
    if is_reachable:
        _check_round_trip(Bus(settings.redis_url), findings)


def _check_server(client: redis.Redis, settings: Settings, findings: Findings) -> bool:
    try:
        info: dict[str, Any] = client.info()
        began_at = time.time()
        seconds, microseconds = client.time()
    except (redis.RedisError, OSError) as error:
        is_private = settings.redis_url == f"unix://{embedded_redis_socket(settings.instance_path)}"
        findings.fail(
            f"it cannot be reached: {one_line(error)}",
            "start the network with `make run` or `python -m launcher`, whose private Valkey this is, or set REDIS_URL"
            if is_private
            else "start Redis or Valkey, and check REDIS_URL: host, port, password and TLS",
        )
        return False
    check_clock("Redis", seconds + microseconds / 1e6, (began_at + time.time()) / 2, findings)
    _check_version(info, findings, is_cluster=redis_urls.is_cluster(settings.redis_url))
    _check_memory(info, findings)
    return True


def _check_version(info: dict[str, Any], findings: Findings, *, is_cluster: bool) -> None:
    name = "Valkey" if "valkey_version" in info else "Redis"
    version = str(info.get("valkey_version") or info.get("redis_version", "0"))
    numbers = tuple(int(part) for part in version.split(".")[:2] if part.isdecimal())
    if numbers < OLDEST_VERSION:
        findings.fail(f"{name} {version} is too old", "upgrade to Redis 6, or any Valkey")
    elif info.get("role") == "slave" and not is_cluster:
        findings.fail(
            f"{name} {version} is a replica, which cannot be written to",
            "set REDIS_URL to the primary, or promote this one: REPLICAOF NO ONE",
        )
    else:
        findings.ok(f"{name} {version} can be reached")


def _check_memory(info: dict[str, Any], findings: Findings) -> None:
    policy, limit = str(info.get("maxmemory_policy", "noeviction")), int(info.get("maxmemory", 0))
    if policy.startswith("allkeys") and limit:
        findings.fail(
            f"it drops any key when {limit // 1024**2} MiB are full ({policy}): games would go offline in the lists",
            "run: redis-cli CONFIG SET maxmemory-policy noeviction (and set it in the configuration file)",
        )
    elif policy != "noeviction" and limit:
        findings.warn(
            f"it drops keys when {limit // 1024**2} MiB are full ({policy})",
            "set maxmemory-policy to noeviction, unless other programs on this server need it",
        )
    else:
        findings.ok("it drops no keys")
    if limit and int(info.get("used_memory", 0)) > 0.9 * limit:
        findings.warn(f"more than 90 % of its memory ({limit // 1024**2} MiB) is used", "raise maxmemory")


def _check_round_trip(bus: Bus, findings: Findings) -> None:
    probe = SignalProbe(uuid.uuid4().hex)
    began_at = time.monotonic()
    try:
        pubsubs = bus.subscribe([probe.topic])
        try:
            for pubsub in pubsubs:
                pubsub.get_message(timeout=ROUND_TRIP_SECONDS)  # the confirmation
            bus.redis.execute_command(*bus.publication(probe))  # type: ignore[no-untyped-call]
            while time.monotonic() - began_at < ROUND_TRIP_SECONDS:
                for pubsub in pubsubs:
                    message = pubsub.get_message(timeout=0.1)
                    if message is not None and probe.token.encode() in bytes(message["data"]):
                        findings.ok(f"a signal takes {(time.monotonic() - began_at) * 1000:.0f} ms")
                        return
        finally:
            for pubsub in pubsubs:
                pubsub.close()
    except redis.RedisError as error:
        findings.fail(
            f"signals cannot be sent: {one_line(error)}",
            f"allow this user to publish and subscribe: ACL SETUSER … &{TOPIC_PREFIX}* +@pubsub",
        )
        return
    findings.fail(
        "signals are not passed on",
        "check whether a proxy is between: all sites and workers need the same server",
    )
