"""A temporary Valkey Cluster of two shards, each with half of the slots and no replica."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from functools import partial
from pathlib import Path

import redis

from launcher.valkey import server_program
from tests.support.processes import free_port
from tests.support.waiting import wait_until

HALVES = ((0, 8191), (8192, 16383))


class TestCluster:
    """Two servers. `url` names the first; clients find the other."""

    __test__ = False

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="cluster-"))
        self._processes: list[subprocess.Popen[bytes]] = []
        self.shards: list[redis.Redis] = []
        self.url = ""

    def start(self) -> None:
        """Start both servers, and wait until they have formed a cluster."""
        ports = [free_port() for _ in HALVES]
        self.url = f"redis+cluster://127.0.0.1:{ports[0]}"
        buses = [free_port() for _ in HALVES]
        for port, bus in zip(ports, buses, strict=True):
            folder = self._folder / str(port)
            folder.mkdir()
            options = ["--bind", "127.0.0.1", "--port", port, "--dir", folder, "--save", "", "--appendonly", "no"]
            options += ["--cluster-enabled", "yes", "--cluster-port", bus, "--cluster-config-file", "nodes.conf"]
            with (folder / "log").open("wb") as log:
                command = [str(server_program()), *map(str, options)]
                self._processes.append(subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT))
            self.shards.append(redis.Redis(port=port))
        for shard, (first, last) in zip(self.shards, HALVES, strict=True):
            wait_until(partial(_answers, shard), what="a shard answers")
            shard.execute_command("CLUSTER ADDSLOTSRANGE", first, last)
        self.shards[0].execute_command("CLUSTER MEET", "127.0.0.1", ports[1], buses[1])
        for shard in self.shards:
            wait_until(partial(_is_whole, shard), seconds=20, what="the cluster is whole")

    def subscribers(self, topic: str) -> list[int]:
        """Return for each shard how many clients are subscribed to a topic there."""
        return [shard.pubsub_shardnumsub(topic)[0][1] for shard in self.shards]

    def move(self, key: str, *, to: int) -> None:
        """Move the slot of a key, which must be empty, to another shard."""
        slot = self.shards[0].execute_command("CLUSTER KEYSLOT", key)
        owner = self.shards[to].execute_command("CLUSTER MYID").decode()
        for shard in (self.shards[to], *self.shards):
            shard.execute_command("CLUSTER SETSLOT", slot, "NODE", owner)

    def close(self) -> None:
        """Kill both servers and delete their files."""
        for shard in self.shards:
            shard.close()
        for process in self._processes:
            process.kill()
            process.wait()
        shutil.rmtree(self._folder, ignore_errors=True)


def _answers(shard: redis.Redis) -> bool:
    try:
        return bool(shard.ping())
    except redis.ConnectionError:
        return False


def _is_whole(shard: redis.Redis) -> bool:
    state: str = str(shard.execute_command("CLUSTER INFO"))
    return "cluster_known_nodes': '2'" in state and "'cluster_state': 'ok'" in state
