"""A project's keys as text, into another Redis."""

import time

import fakeredis
import pytest

from broker.quota.calls import keys
from broker.quota.users import copies
from broker.quota.users.redis_access import RedisAccess

DAY = keys.day_at(time.time())
NAMES = keys.keys_of("p", 'a:{b}*?[c] "ü"', DAY)


def another() -> fakeredis.FakeRedis:
    return fakeredis.FakeRedis(server=fakeredis.FakeServer())


def test_every_key_arrives_with_its_value_and_its_expiry(redis: fakeredis.FakeRedis) -> None:
    """Keys of any kind, over older values too. Keys of another project are not copied."""
    redis.zadd(NAMES[0], {"call": "+inf"})
    redis.expireat(NAMES[0], DAY.ends_at + 3600)
    redis.hset(NAMES[2], mapping={"t": 12, "n": 2**60})
    redis.set(NAMES[3], "1")
    redis.set(keys.keys_of("other", "u", DAY)[3], "1")
    target = another()
    target.set(NAMES[0], "older")
    lines = list(copies.lines_of(RedisAccess(redis), "p"))

    assert copies.write(RedisAccess(target), "p", lines) == 3
    assert copies.write(RedisAccess(target), "p", [*lines, "\n"]) == 3
    assert {name.decode() for name in target.scan_iter()} == {NAMES[0], NAMES[2], NAMES[3]}
    assert target.zrange(NAMES[0], 0, -1, withscores=True) == [(b"call", float("inf"))]
    assert target.hgetall(NAMES[2]) == {b"t": b"12", b"n": str(2**60).encode()}
    assert target.expiretime(NAMES[0]) == DAY.ends_at + 3600
    assert target.ttl(NAMES[3]) == -1


@pytest.mark.parametrize(
    ("change", "word"),
    [
        (lambda lines: lines[:-1], "whole"),
        (lambda lines: [lines[0], *lines[2:]], "whole"),
        (lambda lines: [], "whole"),
        (lambda lines: ["{}", *lines[1:]], "whole"),
        (lambda lines: [lines[0].replace("gpt-broker-keys 1", "gpt-broker-keys 2"), *lines[1:]], "whole"),
        (lambda lines: [line.replace('"value": "', '"value": "!') for line in lines], "whole"),
        (lambda lines: [lines[0].replace('"p"', '"q"'), *lines[1:]], "copy of q"),
    ],
)
def test_a_part_of_a_copy_or_another_projects_changes_nothing(
    redis: fakeredis.FakeRedis, change: object, word: str
) -> None:
    """The file may have been cut on its way."""
    redis.set(NAMES[3], "1")
    lines = list(copies.lines_of(RedisAccess(redis), "p"))
    target = another()

    with pytest.raises(copies.NoCopy, match=word):
        copies.write(RedisAccess(target), "p", change(lines))  # type: ignore[operator]
    assert target.keys() == []
