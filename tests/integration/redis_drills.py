"""A Cluster of six nodes and a Sentinel service with two replicas, from real processes, for fail-over drills."""

import os
import shutil
import subprocess
import time
from pathlib import Path

from redis import RedisError

from deploy.local.broker_process import free_port
from tests.authority import authority
from tests.integration.redis_flavours import PASSWORD, PLAIN, SECURED, SENTINEL_PASSWORD, SENTINEL_USER, USER, Flavour
from tests.integration.redis_process import RedisProcess
from tests.integration.waiting import within

NODE_TIMEOUT = 1000  # ms after which the others consider a node of the Cluster failed
DOWN_AFTER = 1000  # ms after which a Sentinel considers the master down


class ClusterNode(RedisProcess):
    """One node, with its bus on a port of its own."""

    def prepare(self, folder: Path) -> None:
        """Set the options of a node."""
        self.more = (
            "--cluster-enabled", "yes", "--cluster-port", str(free_port()),
            "--cluster-node-timeout", str(NODE_TIMEOUT), "--cluster-replica-validity-factor", "0",
        )  # fmt: skip
        self.more += ("--tls-cluster", "yes") if self.flavour.is_secured else ()

    def listen(self) -> str:
        """Every node may become a replica."""
        return f"{super().listen()}\n{self.flavour.follower_configuration()}"


class SixNodeCluster:
    """Three primaries, each with a replica."""

    def __init__(self, folder: Path, flavour: Flavour = PLAIN, host: str = "127.0.0.1") -> None:
        self.nodes = []
        for number in range(6):
            (folder / str(number)).mkdir(parents=True)
            self.nodes.append(ClusterNode(folder / str(number), flavour, host))
        addresses = [f"{host}:{node.port}" for node in self.nodes]
        program = shutil.which("redis-cli") or "redis-cli"
        account = ("--tls", "--cacert", authority().file, "--user", USER) if flavour.is_secured else ()
        command = (program, *account, "--cluster", "create", *addresses, "--cluster-replicas", "1", "--cluster-yes")
        environ = os.environ | ({"REDISCLI_AUTH": PASSWORD} if flavour.is_secured else {})
        subprocess.run(command, check=True, capture_output=True, timeout=60, env=environ)
        within(20, lambda: all(self._is_well(node) for node in self.nodes))
        self.url = flavour.url("cluster", addresses)

    def primaries(self) -> list[ClusterNode]:
        """The primaries that answer."""
        found = []
        for node in self.nodes:
            try:
                if node.client.info("replication")["role"] == "master":
                    found.append(node)
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

    def prepare(self, folder: Path) -> None:
        """Sign in as the Sentinels' own user."""
        self.connection = self.flavour.connection(SENTINEL_USER, SENTINEL_PASSWORD)


class SentinelService:
    """A master with a password, two replicas and three Sentinels."""

    def __init__(self, folder: Path, flavour: Flavour = SECURED) -> None:
        self.flavour = flavour
        self.servers = [self._make(RedisProcess, folder / f"redis{number}") for number in range(3)]
        self.master, *replicas = self.servers
        for server in self.servers if flavour.is_secured else ():
            server.client.config_set("masteruser", USER)
            server.client.config_set("masterauth", PASSWORD)
        for replica in replicas:
            replica.client.execute_command("REPLICAOF", "127.0.0.1", self.master.port)
        within(20, lambda: all(self._is_synced(replica) for replica in replicas))
        self.sentinels = [self._make(SentinelNode, folder / f"sentinel{number}") for number in range(3)]
        for sentinel in self.sentinels:
            self._watch(sentinel)
        within(20, lambda: all(self._knows_all(sentinel) for sentinel in self.sentinels))
        self.url = flavour.url("sentinel", [f"127.0.0.1:{one.port}" for one in self.sentinels], "/mymaster")

    def master_now(self) -> RedisProcess:
        """The master that the Sentinels name."""
        facts = facts_of(self.sentinels[0])
        return next(server for server in self.servers if server.port == int(facts["port"]))

    def stop(self) -> None:
        """End everything."""
        for process in (*self.sentinels, *self.servers):
            process.stop()

    def _make(self, kind: type[RedisProcess], folder: Path) -> RedisProcess:
        folder.mkdir()
        return kind(folder, self.flavour)

    def _watch(self, sentinel: RedisProcess) -> None:
        command = sentinel.client.execute_command
        if self.flavour.is_secured:
            command("SENTINEL", "CONFIG", "SET", "sentinel-user", SENTINEL_USER)
            command("SENTINEL", "CONFIG", "SET", "sentinel-pass", SENTINEL_PASSWORD)
        command("SENTINEL", "MONITOR", "mymaster", "127.0.0.1", self.master.port, 2)
        if self.flavour.is_secured:
            command("SENTINEL", "SET", "mymaster", "auth-user", USER, "auth-pass", PASSWORD)
        command("SENTINEL", "SET", "mymaster", "down-after-milliseconds", DOWN_AFTER)

    @staticmethod
    def _is_synced(replica: RedisProcess) -> bool:
        return bool(replica.client.info("replication")["master_link_status"] == "up")

    @staticmethod
    def _knows_all(sentinel: RedisProcess) -> bool:
        facts = facts_of(sentinel)
        return int(facts["num-slaves"]) == 2 and int(facts["num-other-sentinels"]) == 2


def facts_of(sentinel: RedisProcess) -> dict[str, str]:
    """A Sentinel's view of the master, read without redis-py's conversions."""
    connection = sentinel.client.connection_pool.get_connection()
    try:
        connection.send_command("SENTINEL", "MASTER", "mymaster")
        facts = connection.read_response()  # a map, in RESP3
    finally:
        sentinel.client.connection_pool.release(connection)
    return {name.decode(): value.decode() for name, value in facts.items()}


def wait_for_new(service: SentinelService, old: RedisProcess) -> float:
    """Wait until a new master accepts writes, and return the time."""
    within(20, lambda: service.master_now() is not old)
    within(5, lambda: service.master_now().client.info("replication")["role"] == "master")
    return time.monotonic()
