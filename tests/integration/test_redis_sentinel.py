"""Sentinel with two replicas, under load: the master is killed and frozen, and calls are served by the new one."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from deploy.local.openai_api import OpenAIStandIn
from tests.integration import ledger
from tests.integration.conftest import StartBroker, User
from tests.integration.load import Load
from tests.integration.redis_drills import SentinelService, wait_for_new
from tests.integration.redis_process import RedisProcess
from tests.integration.waiting import within

SOON = 5.0  # seconds after the new master is known within which all calls are served


@pytest.fixture
def service(tmp_path: Path) -> Iterator[SentinelService]:
    made = SentinelService(tmp_path)
    yield made
    made.stop()


@pytest.mark.parametrize("fault", [RedisProcess.stop, RedisProcess.freeze])
def test_a_fail_over_under_load_loses_no_call_for_long(
    service: SentinelService,
    start_broker: StartBroker,
    new_user: Callable[..., User],
    openai: OpenAIStandIn,
    fault: Callable[[RedisProcess], None],
) -> None:
    """Account and password have every character; the old master is killed, or answers nothing any more.

    No call is counted twice. Calls that were settled in the last moment before the fault may be lost with it, as
    replication is asynchronous: at most those of one second.
    """
    broker = start_broker("/ready", REDIS_URL=service.url, WEB_CONCURRENCY="2", DAILY_LIMIT="100000")
    users = [new_user(broker) for _ in range(4)]
    old = service.master
    with Load(users) as load:
        time.sleep(1)
        fault(old)
        known = wait_for_new(service, old)
        within(SOON, lambda: all(user.post("/gpt-4o", {}).status_code == 400 for user in users * 2))
        within(10, lambda: len([a for a in load.answers if a.is_good and a.began > known]) > 20)
    served = [answer.began for answer in load.answers if answer.is_good]
    refused = [answer.began for answer in load.answers if not answer.is_good]
    assert {answer.code for answer in load.answers} <= {"", "usage_unavailable"}
    assert max(refused, default=known) < known + SOON
    new = service.master_now().client

    def counted() -> int:
        return sum(new.zcount(key, "+inf", "+inf") for key in new.keys("*:calls:*"))

    # what the write queue still holds is no loss
    within(
        10, lambda: ledger.scrape(broker)[ledger.name_of("gpt_broker_calls_in_flight")] == 0 or counted() == len(served)
    )
    last_second = len([began for began in served if min(refused) - 1 < began < known])
    assert len(served) - last_second <= counted() <= len(served)
