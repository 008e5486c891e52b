"""The owner of a response: known until it expires or is deleted, unknown while Redis is unavailable."""

import time
from types import SimpleNamespace
from typing import Any

import fakeredis
import pytest

from broker.errors.base import UsageUnavailable
from broker.errors.responses import OwnershipUnavailable
from broker.quota.quota import Quota
from broker.quota.redis_store import Store
from broker.quota.response_owners import DAY, Found, ResponseOwners
from broker.settings.settings import Settings
from broker.telemetry.background import Background
from broker.telemetry.metrics import Metrics
from tests.apps import REQUIRED

KEY = "0123456789ab"
ADA, GRACE = "11111111-1111-4111-8111-111111111111", "22222222-2222-4222-8222-222222222222"


class FakeQuota:
    """Keeps the writes that are queued."""

    def __init__(self) -> None:
        self.queued: list[tuple[str, tuple[Any, ...]]] = []

    def write_later(self, script: str, arguments: tuple[Any, ...], keys: int) -> None:
        assert keys == 4
        self.queued.append((script, arguments))


@pytest.fixture
def quota() -> FakeQuota:
    return FakeQuota()


def unavailable(*_: Any, **__: Any) -> None:
    raise UsageUnavailable(retry_after=1.0)


def make(redis: Any, quota: FakeQuota, **environ: str) -> ResponseOwners:
    settings = Settings.from_environ(REQUIRED | environ)
    return ResponseOwners(settings, Store(redis, Metrics()), quota)  # type: ignore[arg-type]


@pytest.fixture
def owners(redis: fakeredis.FakeRedis, quota: FakeQuota) -> ResponseOwners:
    return make(redis, quota)


def test_an_id_is_its_owners_only(owners: ResponseOwners) -> None:
    """Responses and items are covered; the first unknown id is returned."""
    owners.remember(ADA, KEY, "resp_1", ["msg_1", "fc_1"])
    assert owners.look_up(ADA, ["resp_1", "msg_1", "fc_1"]).unknown is None
    assert owners.look_up(ADA, []).unknown is None
    assert owners.look_up(ADA, ["msg_1", "msg_2", "msg_3"]).unknown == "msg_2"
    assert owners.look_up(GRACE, ["resp_1"]).unknown == "resp_1"
    assert owners.look_up(ADA, ["RESP_1"]).unknown == "RESP_1"
    assert owners.look_up(ADA, ["resp_1", "x" * 129]).unknown == "x" * 129


def test_the_key_of_the_first_id_is_found(owners: ResponseOwners, redis: fakeredis.FakeRedis) -> None:
    """It is recorded for responses and items, and forgotten with them. Older records have none."""
    owners.remember(ADA, "key-one", "resp_1", ["msg_1"])
    owners.remember(ADA, "key-two", "resp_2", ["msg_2"])
    ids, _, keys, _ = sorted(redis.keys())
    redis.zadd(ids, {"resp_0": 9e15})
    assert owners.look_up(ADA, ["resp_0"]) == Found()
    assert owners.look_up(ADA, ["resp_0", "msg_2", "resp_1"]) == Found(None, "key-two")
    assert owners.look_up(ADA, ["resp_1", "msg_2"]) == Found(None, "key-one")
    assert owners.look_up(ADA, ["resp_1", "msg_3"]) == Found("msg_3")
    owners.forget(ADA, "resp_1")
    assert sorted(redis.hkeys(keys)) == [b"msg_2", b"resp_2"]


def test_a_continued_response_has_the_tokens_that_it_used(owners: ResponseOwners) -> None:
    """Input and output count, and those of each response once: an item of an answer is a part of the output."""
    owners.remember(ADA, KEY, "resp_1", ["resp_1", "msg_1", "fc_1"])
    assert owners.look_up(ADA, ["resp_1", "msg_1"]).tokens == 0  # it is still being written
    for _ in range(2):
        owners.remember(ADA, KEY, "resp_1", ["resp_1"], (100, 20))
    owners.remember(ADA, KEY, "resp_2", ["msg_2"], (1_000, 3))
    expected = {
        ("resp_1",): 120, ("msg_1",): 20, ("msg_1", "fc_1"): 20, ("resp_1", "fc_1", "resp_1"): 120,
        ("resp_2", "msg_1"): 1_023, ("msg_1", "msg_2"): 23, ("resp_1", "resp_2"): 1_123,
    }  # fmt: skip
    assert {ids: owners.look_up(ADA, ids).tokens for ids in expected} == expected
    assert owners.look_up(ADA, ["resp_1", "msg_3"]) == Found("msg_3")


def test_a_listed_item_is_a_part_of_the_input(owners: ResponseOwners) -> None:
    """An item of an earlier answer stays a part of that one."""
    owners.remember(ADA, KEY, "resp_1", ["msg_1"], (100, 20))
    owners.remember(ADA, KEY, "resp_2", ["msg_2"], (1_000, 3))
    owners.remember_input(ADA, KEY, "resp_2", ["msg_1", "msg_3", "msg_4"])
    owners.remember(ADA, KEY, "resp_2", ["msg_3"], (1_000, 3))
    for ids, tokens in ((["msg_1"], 20), (["msg_3", "msg_4"], 1_000), (["msg_3", "msg_2"], 1_003)):
        assert owners.look_up(ADA, ids).tokens == tokens


def test_records_without_tokens_count_none(owners: ResponseOwners, redis: fakeredis.FakeRedis) -> None:
    """Versions before wrote ids, items and keys only."""
    owners.remember(ADA, KEY, "resp_1", ["msg_1"], (100, 20))
    redis.delete(sorted(redis.keys())[-1])
    assert owners.look_up(ADA, ["resp_1", "msg_1"]) == Found(None, KEY, 0)
    owners.remember(ADA, KEY, "resp_2", (), (7, 5))
    assert owners.look_up(ADA, ["resp_1", "msg_1", "resp_2"]).tokens == 12


def test_the_tokens_are_forgotten_with_the_response(owners: ResponseOwners, redis: fakeredis.FakeRedis) -> None:
    """Another response's tokens stay."""
    owners.remember(ADA, KEY, "resp_1", ["msg_1"], (100, 20))
    owners.remember(ADA, KEY, "resp_2", ["msg_2"], (7, 5))
    owners.forget(ADA, "resp_1")
    assert sorted(redis.hkeys(sorted(redis.keys())[-1])) == [b"msg_2", b"resp_2 input", b"resp_2 output"]


def test_projects_on_the_same_redis_are_separate(redis: fakeredis.FakeRedis, quota: FakeQuota) -> None:
    """Users of two projects may have the same id."""
    make(redis, quota).remember(ADA, KEY, "resp_1")
    assert make(redis, quota, SUPABASE_URL="https://other.supabase.co").look_up(ADA, ["resp_1"]).unknown == "resp_1"


def test_items_of_a_stream_are_added_one_by_one_and_forgotten_together(owners: ResponseOwners) -> None:
    """Another response's items stay."""
    for items in ([], ["msg_1"], ["fc_1"], ["msg_1", "fc_1"]):
        owners.remember(ADA, KEY, "resp_1", items)
    owners.remember(ADA, KEY, "resp_2", ["msg_2"])
    owners.forget(ADA, "resp_1")
    owners.forget(ADA, "resp_1")
    for one in ("resp_1", "msg_1", "fc_1"):
        assert owners.look_up(ADA, [one]).unknown == one
    assert owners.look_up(ADA, ["resp_2", "msg_2"]).unknown is None


def test_an_item_is_forgotten_with_its_own_response_only(owners: ResponseOwners) -> None:
    """The list of a later response's input names items of earlier ones, again and again."""
    owners.remember(ADA, KEY, "resp_1", ["msg_1"])
    owners.remember(ADA, KEY, "resp_2", ["msg_2"])
    for _ in range(2):
        owners.remember(ADA, KEY, "resp_2", ["msg_1", "msg_3"])
    owners.forget(ADA, "resp_2")
    assert owners.look_up(ADA, ["resp_1", "msg_1"]).unknown is None
    assert [owners.look_up(ADA, [one]).unknown for one in ("resp_2", "msg_2", "msg_3")] == ["resp_2", "msg_2", "msg_3"]
    owners.forget(ADA, "resp_1")
    assert owners.look_up(ADA, ["msg_1"]).unknown == "msg_1"


def test_an_id_expires_after_its_days(redis: fakeredis.FakeRedis, quota: FakeQuota) -> None:
    """Redis' clock decides. Expired ids are removed, and the keys expire by themselves."""
    owners = make(redis, quota, RESPONSES_KEPT_DAYS="2")
    owners.remember(ADA, KEY, "resp_1", ["msg_1"], (12, 30))
    ids, items, keys, tokens = sorted(redis.keys())
    assert all(2 * DAY - 5000 < redis.pttl(one) <= 2 * DAY for one in (ids, items, keys, tokens))
    redis.zadd(ids, {"resp_1": 1, "msg_1": 1})
    assert owners.look_up(ADA, ["resp_1"]).unknown == "resp_1"
    owners.remember(ADA, KEY, "resp_2", ["msg_2"])
    assert redis.zrange(ids, 0, -1) == [b"msg_2", b"resp_2"]
    assert redis.hkeys(items) == [b"resp_2"]
    assert redis.hkeys(keys) == [b"resp_2", b"msg_2"]
    assert redis.hkeys(tokens) == [b"msg_2"]


def test_all_keys_of_a_user_are_in_one_slot(owners: ResponseOwners, redis: fakeredis.FakeRedis) -> None:
    """A cluster runs a script on one slot only."""
    owners.remember(ADA, KEY, "resp_1", ["msg_1"])
    assert len({key[key.index(b"{") : key.index(b"}")] for key in redis.keys("*")}) == 1


def test_without_redis_nothing_is_known_and_nothing_is_lost(quota: FakeQuota, monkeypatch: pytest.MonkeyPatch) -> None:
    """A check is refused; a write is queued."""
    owners = ResponseOwners(Settings.from_environ(REQUIRED), SimpleNamespace(run=unavailable), quota)  # type: ignore[arg-type]
    with pytest.raises(OwnershipUnavailable) as caught:
        owners.look_up(ADA, ["resp_1"])
    assert (caught.value.status, caught.value.retry_after) == (503, 1.0)
    owners.remember(ADA, KEY, "resp_1", ["msg_1"])
    owners.forget(ADA, "resp_2")
    assert quota.queued[0][1][-2:] == ("resp_1", "msg_1")
    assert len(quota.queued) == 2


def test_a_queued_write_reaches_redis(redis: fakeredis.FakeRedis) -> None:
    """The quota's own queue sends it, with the scripts' four keys."""
    settings, metrics = Settings.from_environ(REQUIRED), Metrics()
    store = Store(redis, metrics)
    quota = Quota(settings, store, metrics, time.time, Background())
    owners = ResponseOwners(settings, store, quota)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(store, "run", unavailable)
        owners.remember(ADA, KEY, "resp_1", ["msg_1"])
    quota.close()
    assert owners.look_up(ADA, ["resp_1", "msg_1"]).unknown is None
