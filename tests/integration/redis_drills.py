"""A Cluster of six nodes and a Sentinel service with two replicas, from real processes, for fail-over drills."""

import shutil
import socket
import subprocess
import time
from pathlib import Path

from redis import RedisError

from deploy.local.broker_process import free_port
from tests.integration.redis_process import RedisProcess
from tests.integration.waiting import within

NODE_TIMEOUT = 1000  # ms after which the others consider a node of the Cluster failed
DOWN_AFTER = 1000  # ms after which a Sentinel considers the master down
PASSWORD = "pa/ss#wo?rd@:[%]"
ENCODED = "pa%2Fss%23wo%3Frd%40%3A%5B%25%5D"


class ClusterNode(RedisProcess):
    """One node, with its bus on a port of its own."""

    def prepare(self, folder: Path) -> None:
        """Set the options of a node."""
        self.more = (
            "--cluster-enabled", "yes", "--cluster-port", str(free_port()),
            "--cluster-node-timeout", str(NODE_TIMEOUT), "--cluster-replica-validity-factor", "0",
        )  # fmt: skip


class SixNodeCluster:
    """Three primaries, each with a replica."""

    def __init__(self, folder: Path) -> None:
        self.nodes = []
        for number in range(6):
            (folder / str(number)).mkdir()
            self.nodes.append(ClusterNode(folder / str(number)))
        addresses = [f"127.0.0.1:{node.port}" for node in self.nodes]
        program = shutil.which("redis-cli") or "redis-cli"
        command = (program, "--cluster", "create", *addresses, "--cluster-replicas", "1", "--cluster-yes")
        subprocess.run(command, check=True, capture_output=True, timeout=60)
        within(20, lambda: all(self._is_well(node) for node in self.nodes))
        self.url = "redis+cluster://" + ",".join(addresses)

    def scores(self, pattern: str) -> list[float]:
        """The scores of all sorted sets whose keys match, over the primaries that answer."""
        found: list[float] = []
        for node in self.nodes:
            try:
                if node.client.info("replication")["role"] == "master":
                    for key in node.client.keys(pattern):
                        found += [score for _, score in node.client.zrange(key, 0, -1, withscores=True)]
            except RedisError:
                continue
        return found

    def stop(self) -> None:
        """End all nodes."""
        for node in self.nodes:
            node.stop()

    @staticmethod
    def _is_well(node: ClusterNode) -> bool:
        info = node.client.execute_command("CLUSTER INFO")
        role = node.client.info("replication")
        is_synced = role["role"] == "master" or role["master_link_status"] == "up"
        return bool(info["cluster_state"] == "ok" and is_synced)


class SentinelNode(RedisProcess):
    """One Sentinel."""

    more = ("--sentinel",)
    persistence = ""


class SentinelService:
    """A master with a password, two replicas and three Sentinels."""

    def __init__(self, folder: Path) -> None:
        self.servers = [self._make(RedisProcess, folder / f"redis{number}") for number in range(3)]
        for server in self.servers:
            server.client.execute_command("ACL", "SETUSER", "broker", "on", f">{PASSWORD}", "~*", "&*", "+@all")
        self.master, *replicas = self.servers
        for replica in replicas:
            replica.client.execute_command("REPLICAOF", "127.0.0.1", self.master.port)
        within(20, lambda: all(self._is_synced(replica) for replica in replicas))
        self.sentinels = [self._make(SentinelNode, folder / f"sentinel{number}") for number in range(3)]
        for sentinel in self.sentinels:
            sentinel.client.execute_command("SENTINEL", "MONITOR", "mymaster", "127.0.0.1", self.master.port, 2)
            sentinel.client.execute_command("SENTINEL", "SET", "mymaster", "down-after-milliseconds", DOWN_AFTER)
        within(20, lambda: all(self._knows_all(sentinel) for sentinel in self.sentinels))
        hosts = ",".join(f"127.0.0.1:{sentinel.port}" for sentinel in self.sentinels)
        self.url = f"redis+sentinel://broker:{ENCODED}@{hosts}/mymaster"

    def master_now(self) -> RedisProcess:
        """The master that the Sentinels name."""
        facts = facts_of(self.sentinels[0])
        return next(server for server in self.servers if server.port == int(facts["port"]))

    def stop(self) -> None:
        """End everything."""
        for process in (*self.sentinels, *self.servers):
            process.stop()

    @staticmethod
    def _make(kind: type[RedisProcess], folder: Path) -> RedisProcess:
        folder.mkdir()
        return kind(folder)

    @staticmethod
    def _is_synced(replica: RedisProcess) -> bool:
        return bool(replica.client.info("replication")["master_link_status"] == "up")

    @staticmethod
    def _knows_all(sentinel: RedisProcess) -> bool:
        facts = facts_of(sentinel)
        return int(facts["num-slaves"]) == 2 and int(facts["num-other-sentinels"]) == 2


def facts_of(sentinel: RedisProcess) -> dict[str, str]:
    """A Sentinel's view of the master, read without redis-py's conversions."""
    with socket.create_connection(("127.0.0.1", sentinel.port), timeout=5) as sock, sock.makefile("rb") as lines:
        sock.sendall(b"SENTINEL MASTER mymaster\r\n")
        count = int(lines.readline()[1:])
        words = []
        for _ in range(count):
            lines.readline()
            words.append(lines.readline().decode().strip())
    return dict(zip(words[::2], words[1::2], strict=True))


def wait_for_new(service: SentinelService, old: RedisProcess) -> float:
    """Wait until a new master accepts writes, and return the time."""
    within(20, lambda: service.master_now() is not old)
    within(5, lambda: service.master_now().client.info("replication")["role"] == "master")
    return time.monotonic()
