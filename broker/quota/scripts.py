"""The day's calls as they stand in Redis, and the scripts that change them. Each is atomic, and may be
sent twice: a second time changes nothing.

One sorted set holds a user's calls of one UTC day: a member is a call's id; its score is the time
(ms) at which its lease lapses while OpenAI has not begun to answer, and +inf once it has. So the
day's count is the number of members, and a call whose worker died drops out by itself. Where a user
may have only so many calls under way at once, a second such set holds their places, as leases too.
The braces keep all keys of a user in one slot of a cluster.
"""

import datetime
import functools
from dataclasses import dataclass
from urllib.parse import quote

LEASE = 60_000  # ms after which an unsettled call that nobody renews is given back
GRACE = 3600  # seconds that a day's key outlives its day: longer than any call

_NOW = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
"""

# KEYS: the user's day, and the user's places. ARGV: limit (-1: none), lease in ms, call id, Unix time at which the
# day's key may go, places (-1: any number, and none is kept).
# It begins with what a full Redis refuses: once a script has taken something away, it may add as much as it likes.
# Answer: 1, 0 or -1 (admitted, over the limit, or no place free), and the day's count.
RESERVE = (
    _NOW
    + """
redis.call('ZADD', KEYS[1], 'XX', 0, '')
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
local used, limit, places = redis.call('ZCARD', KEYS[1]), tonumber(ARGV[1]), tonumber(ARGV[5])
if limit >= 0 and used >= limit then
  return {redis.call('ZSCORE', KEYS[1], ARGV[3]) and 1 or 0, used}
end
if places >= 0 then
  redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', now)
  if redis.call('ZCARD', KEYS[2]) >= places and not redis.call('ZSCORE', KEYS[2], ARGV[3]) then
    return {-1, used}
  end
  redis.call('ZADD', KEYS[2], now + ARGV[2], ARGV[3])
  redis.call('PEXPIREAT', KEYS[2], now + ARGV[2])
end
redis.call('ZADD', KEYS[1], now + ARGV[2], ARGV[3])
redis.call('EXPIREAT', KEYS[1], ARGV[4])
return {1, redis.call('ZCARD', KEYS[1])}
"""
)

# KEYS, ARGV as above. A call that is under way keeps its place, and its count if it still waits for OpenAI; one that is
# settled or gone stays so.
RENEW = (
    _NOW
    + """
if tonumber(ARGV[5]) >= 0 then
  redis.call('ZADD', KEYS[2], 'XX', 'GT', now + ARGV[2], ARGV[3])
  redis.call('PEXPIREAT', KEYS[2], now + ARGV[2])
end
return redis.call('ZADD', KEYS[1], 'XX', 'GT', now + ARGV[2], ARGV[3])
"""
)

# KEYS, ARGV as above. OpenAI has begun to answer: the call is made, whatever comes.
SETTLE = """
redis.call('ZADD', KEYS[1], '+inf', ARGV[3])
redis.call('EXPIREAT', KEYS[1], ARGV[4])
return 1
"""

# KEYS, ARGV as above. The call cost nothing.
GIVE_BACK = """
return redis.call('ZREM', KEYS[1], ARGV[3])
"""

# KEYS, ARGV as above. The call is over: its place is another's.
LEAVE = """
return redis.call('ZREM', KEYS[2], ARGV[3])
"""

# KEYS: the user's day. The day's count, leases that have lapsed left out.
COUNT = (
    _NOW
    + """
return redis.call('ZCOUNT', KEYS[1], '(' .. now, '+inf')
"""
)

# KEYS: any key. Whether Redis takes what is new: one that is full still lets things be read and taken away.
PROBE = """
return redis.call('SET', KEYS[1], 1, 'PX', 1000)
"""

ADDING = frozenset({RESERVE, RENEW, SETTLE, PROBE})  # what only a Redis that can count does


@dataclass(frozen=True, slots=True)
class Day:
    """A UTC calendar day: its name (2026-11-24) and the Unix time at which the next one begins."""

    name: str
    ends_at: int


def day_at(now: float) -> Day:
    """The day of a Unix time in seconds."""
    return _day(int(now // 86400))


@functools.lru_cache(maxsize=2)
def _day(number: int) -> Day:
    name = datetime.datetime.fromtimestamp(number * 86400, datetime.UTC).date().isoformat()
    return Day(name, (number + 1) * 86400)


def keys_of(project: str, caller_id: str, day: Day) -> tuple[str, str]:
    """The key of a user's day, and that of a user's places, which calls take for as long as they are under way."""
    user = f"gpt-broker:{{{quote(project, safe='')}:{quote(caller_id, safe='')}}}"
    return f"{user}:calls:{day.name}", f"{user}:places"
