"""A Redis with the daily counts of any number of users."""

from collections.abc import Iterator

from tests.benchmarks.process_tree import ProcessTree
from tests.integration.redis_process import RedisProcess

USER_ID = "{:08d}-0000-4000-8000-000000000000"
AT_ONCE = 2_000  # keys written by one script: Redis blocks while it runs

# KEYS: a user's key. ARGV: the user's id in it, first and last number of the users who get a copy
_COPY = """
local at, to = string.find(KEYS[1], ARGV[1], 1, true)
local before, after = string.sub(KEYS[1], 1, at - 1), string.sub(KEYS[1], to + 1)
for n = ARGV[2], ARGV[3] do
  redis.call('COPY', KEYS[1], before .. string.format('%08d-0000-4000-8000-000000000000', n) .. after)
end
"""


def user_ids(count: int, first: int = 0) -> Iterator[str]:
    """Return `number` user ids."""
    return (USER_ID.format(number) for number in range(first, first + count))


class Counters(RedisProcess):
    """Redis as an operator runs it for counters, with an append-only file synced once a second."""

    persistence = 'save ""\nappendonly yes\nappendfsync everysec\nauto-aof-rewrite-percentage 0\n'

    def tree(self) -> ProcessTree:
        """The Redis process."""
        return ProcessTree(self._process.pid)

    def multiply(self, user_id: str, count: int) -> float:
        """Copy this user's keys for `count` more users; return the bytes of memory of each."""
        key = next(self.client.scan_iter(f"*{user_id}*", count=1000))
        before = self._used()
        for first in range(0, count, AT_ONCE):
            last = min(first + AT_ONCE, count) - 1
            self.client.eval(_COPY, 1, key, user_id, 10_000_000 + first, 10_000_000 + last)
        return (self._used() - before) / count if count else 0.0

    def empty(self) -> None:
        """Delete everything."""
        self.client.flushall()

    def _used(self) -> int:
        return int(self.client.info("memory")["used_memory"])
