"""Figure 7: the broker's cost as users and workers grow. For streams see `figures.open_streams`."""

from tests.benchmarks.counters import user_ids
from tests.benchmarks.figures import Values, calls, make_calls, warm_up
from tests.benchmarks.meter import Meter
from tests.benchmarks.sizes import Sizes
from tests.benchmarks.surroundings import Surroundings

CALLERS = 200  # calling in turn, among many users
CALLS_A_DAY = 10  # of each user in Redis, besides some of the warm-up


def with_users(around: Surroundings, sizes: Sizes, count: int) -> Values:
    """Measure calls when this many users have called today."""
    around.redis.empty()
    callers = list(user_ids(min(count, CALLERS)))
    with around.broker(users=callers) as broker:
        warm_up(around, broker, sizes)
        broker.keys = around.tokens(callers[:1])
        make_calls(around, broker, calls=CALLS_A_DAY)
        each = around.redis.multiply(callers[0], count - len(callers))
        broker.keys = around.tokens(callers)
        broker.wait_until_it_answers()
        values = calls(around, broker, sizes)
    around.redis.empty()
    return {"processor_ms": values["processor_ms"], "redis_ms": values["redis_ms"], "redis_bytes": each}


def with_new_users(around: Surroundings, sizes: Sizes) -> Values:
    """Measure calls with new tokens, whose signatures are checked."""
    with around.broker() as broker:
        warm_up(around, broker, sizes)
        broker.keys = around.tokens(user_ids(sizes.new_users, first=1000))
        with Meter(around, broker) as meter:
            make_calls(around, broker, connections=sizes.call_connections, calls=sizes.new_users)
    return {"processor_ms": meter.spent["contestant"] / sizes.new_users * 1e3}


def with_workers(around: Surroundings, sizes: Sizes, count: int) -> Values:
    """Measure calls to a broker with several workers. All programs share all processors."""
    with around.broker(workers=count) as broker:
        warm_up(around, broker, sizes)
        values = calls(around, broker, sizes)
        return {
            "processor_ms": values["processor_ms"],
            "calls_a_second": values["calls_a_second"],
            "pss_mb": broker.tree.pss_bytes() / 1e6 if broker.tree else 0.0,
        }
