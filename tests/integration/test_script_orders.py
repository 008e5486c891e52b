"""A user's scripts on a real Redis: in any order they come to the same end, and its clock decides the day."""

import time
import uuid
from collections.abc import Sequence

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from broker.quota import scripts
from broker.quota.calls import keys
from tests.integration.redis_process import RedisProcess

Step = tuple[str, str]  # a call and a script
ENDS = {  # of each call: its outcome, tokens and nano-dollars
    "a": (scripts.CHARGE, 120, 450), "b": (scripts.GIVE_BACK, 0, 0), "c": (scripts.CHARGE, 7, 11),
    "d": (scripts.ABANDON, 3, 5),
}  # fmt: skip
DEMAND = (100, 50, 10, 2, 8)  # tokens and money of a reservation
STEPS = st.lists(st.tuples(st.sampled_from(sorted(ENDS)), st.sampled_from(["reserve", "renew", "finish"])), max_size=14)


class Day:
    """A new user's day on this Redis, without limits."""

    def __init__(self, server: RedisProcess) -> None:
        self.at = keys.day_at(time.time())
        self._redis = server.client
        self._keys = keys.keys_of("orders.supabase.co", str(uuid.uuid4()), self.at)

    def run(self, script: str, call: str, *more: int) -> list[int]:
        result = self._redis.eval(script, 4, *self._keys, call, 60_000, self.at.ends_at + keys.GRACE, -1, *more)
        return list(result) if isinstance(result, list) else [result]

    def reserve(self, call: str, number: int) -> list[int]:
        return self.run(scripts.RESERVE, call, number, -1, -1, -1, *DEMAND, 0)

    def take(self, steps: Sequence[Step]) -> list[int]:
        """Run all steps; return calls, tokens and money charged, and tokens and money reserved."""
        for call, script in steps:
            if script == "reserve":
                self.reserve(call, self.at.number)
            elif script == "renew":
                self.run(scripts.RENEW, call)
            else:
                self.run(scripts.FINISH, call, *ENDS[call], 0)  # no abandoned call is free
        return self.run(scripts.READ, "", self.at.number)[1:6]


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS, data=st.data())
def test_scripts_in_any_order_come_to_the_same_end(
    redis_server: RedisProcess, steps: list[Step], data: st.DataObject
) -> None:
    """A late reservation neither revives a call nor lowers a settled one, and a repetition changes nothing."""
    again = data.draw(st.lists(st.sampled_from(steps), max_size=4)) if steps else []
    shuffled = data.draw(st.permutations([*steps, *again]))
    end = Day(redis_server).take(steps)
    assert Day(redis_server).take(shuffled) == end
    finished = {call for call, script in steps if script == "finish" and ENDS[call][0] != scripts.GIVE_BACK}
    open_calls = {call for call, script in steps if script == "reserve"} - {
        call for call, script in steps if script == "finish"
    }
    assert end[0] == len(finished) + len(open_calls)
    assert end[1:3] == [sum(ENDS[call][number] for call in finished) for number in (1, 2)]


@pytest.mark.parametrize("days", [-1, 1])
def test_the_clock_of_redis_decides_the_day(redis_server: RedisProcess, days: int) -> None:
    """A broker whose clock is a day off gets the time and counts nothing on the wrong day."""
    day = Day(redis_server)
    result = day.reserve("a", day.at.number + days)
    assert result[0] == scripts.WRONG_DAY
    assert abs(result[1] - time.time()) < 60
    assert day.take([]) == [0] * 5
