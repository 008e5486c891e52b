"""A tenant's counts go from the Redis of one host to a Cluster: `python -m broker.cli export`, then `import`."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from deploy.local.broker_process import ROOT
from deploy.local.openai_api import OpenAIStandIn
from deploy.local.supabase_auth import SupabaseStandIn
from tests.integration.conftest import StartBroker, User, settings_for
from tests.integration.redis_drills import SixNodeCluster
from tests.integration.redis_flavours import SECURED
from tests.integration.redis_process import RedisProcess

LIMITS = {"DAILY_LIMIT": "5", "DAILY_TOKENS": "100000", "TENANT_DAILY_SPEND": "50"}


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[SixNodeCluster]:
    made = SixNodeCluster(tmp_path / "cluster", SECURED)
    yield made
    made.stop()


def command(environ: dict[str, str], word: str, text: str = "") -> str:
    """Run an operator's command as a program."""
    done = subprocess.run(
        (sys.executable, "-m", "broker.cli", word),
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "ENV_FILE": os.devnull, **environ},
        input=text,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


def day(user: User) -> dict[str, object]:
    usage = dict(user.get("/v1/usage").json())
    return {name: usage[name] for name in ("used", "remaining", "tokens", "dollars", "resets_at")}


def test_no_count_is_lost_on_the_way_from_one_redis_to_a_cluster(
    own_redis: RedisProcess,
    cluster: SixNodeCluster,
    openai: OpenAIStandIn,
    supabase: SupabaseStandIn,
    start_broker: StartBroker,
    new_user: Callable[..., User],
) -> None:
    """Calls, tokens, dollars, grants, blocks and the tenant's spending go on where they were."""
    here = settings_for(openai, supabase, own_redis.url) | LIMITS
    there = here | {"REDIS_URL": cluster.url}
    before = start_broker("/ready", **here)
    ada, grace, eve = (new_user(before) for _ in range(3))
    assert [ada.post("/gpt-4o", {"messages": "x"}).status_code for _ in range(6)] == [200] * 5 + [429]
    assert grace.stream().content.endswith(b"\n")
    for words in (("grant", grace.id, "--calls", "7"), ("block", eve.id)):
        environ = {"PATH": os.environ["PATH"], "ENV_FILE": os.devnull, **here}
        subprocess.run((sys.executable, "-m", "broker.cli", *words), cwd=ROOT, env=environ, check=True)
    known = [day(user) for user in (ada, grace)]
    before.stop()

    copy = command(here, "export")
    assert command(there, "import", copy) == command(there, "import", copy)
    after = start_broker("/ready", **there)
    ada, grace, eve = (User(user.id, after.url, user.token) for user in (ada, grace, eve))

    assert [day(user) for user in (ada, grace)] == known
    assert grace.get("/v1/usage").json()["limit"] == 12
    assert ada.post("/gpt-4o", {"messages": "x"}).status_code == 429
    assert eve.post("/gpt-4o", {"messages": "x"}).status_code == 403
    assert grace.post("/gpt-4o", {"messages": "x"}).status_code == 200
    old = {key: own_redis.client.expiretime(key) for key in own_redis.client.keys("*:calls:*")}
    new = {key: node.client.expiretime(key) for node in cluster.primaries() for key in node.client.keys("*:calls:*")}
    assert old == new
    spent = [node.client.hget(key, "spent") for node in cluster.primaries() for key in node.client.keys("*:spend:*")]
    assert [int(one) for one in spent] >= [
        int(own_redis.client.hget(key, "spent")) for key in own_redis.client.keys("*:spend:*")
    ]
