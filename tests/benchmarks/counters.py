"""A Redis with as many users' calls of the day in it as are wanted."""

from collections.abc import Iterator

from tests.benchmarks.process_tree import ProcessTree
from tests.integration.redis_process import RedisProcess

USER_ID = "{:08d}-0000-4000-8000-000000000000"
AT_ONCE = 2_000  # keys written by one script: while it runs, Redis answers nobody

# KEYS: a user's key. ARGV: the user's id in it, first and last number of the users who get a copy
_COPY = """
local at, to = string.find(KEYS[1], ARGV[1], 1, true)
local before, after = string.sub(KEYS[1], 1, at - 1), string.sub(KEYS[1], to + 1)
for n = ARGV[2], ARGV[3] do
  redis.call('COPY', KEYS[1], before .. string.format('%08d-0000-4000-8000-000000000000', n) .. after)
end
"""


def user_ids(count: int, first: int = 0) -> Iterator[str]:
    """The ids of so many users."""
    return (USER_ID.format(number) for number in range(first, first + count))


class Counters(RedisProcess):
    """Redis as an operator runs it for counters: its append-only file is written once a second."""

    persistence = 'save ""\nappendonly yes\nappendfsync everysec\nauto-aof-rewrite-percentage 0\n'

    def tree(self) -> ProcessTree:
        """Its process."""
        return ProcessTree(self._process.pid)

    def multiply(self, user_id: str, count: int) -> float:
        """Give `count` more users what this one, who has called, has in it; bytes of memory that each takes."""
        key = next(self.client.scan_iter(f"*{user_id}*", count=1000))
        before = self._used()
        for first in range(0, count, AT_ONCE):
            last = min(first + AT_ONCE, count) - 1
            self.client.eval(_COPY, 1, key, user_id, 10_000_000 + first, 10_000_000 + last)
        return (self._used() - before) / count if count else 0.0

    def empty(self) -> None:
        """Forget all."""
        self.client.flushall()

    def _used(self) -> int:
        return int(self.client.info("memory")["used_memory"])
