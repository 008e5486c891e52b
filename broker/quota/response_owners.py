"""Which user owns which stored response: the ids that OpenAI gave to each user, in Redis.

OpenAI keeps all responses of the broker under one account and returns any of them to any request that names its id. The
broker therefore accepts an id only from the user in whose answer it appeared. An id of another user, an unknown id and
an expired id are the same: not in the caller's set.

Two keys a user, in one slot of a cluster: a sorted set of ids, with the time (ms) at which each expires as its score,
and a hash from a response's id to the ids of its items, which are forgotten with it.
"""

from collections.abc import Sequence
from urllib.parse import quote

from broker.errors.base import UsageUnavailable
from broker.errors.responses import OwnershipUnavailable
from broker.quota.quota import Quota
from broker.quota.redis_store import Store
from broker.settings.settings import Settings

DAY = 86_400_000  # ms
KEYS = 2  # of the scripts that write
MAX_ID = 128  # characters; OpenAI's ids have about 55

# KEYS: ids, items by response. ARGV: lifetime in ms, response id, item ids. Idempotent. Writes first: a full Redis
# refuses the script before it has changed anything.
REMEMBER = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
for i = 2, #ARGV do
  redis.call('ZADD', KEYS[1], now + ARGV[1], ARGV[i])
end
if #ARGV > 2 then
  local items = redis.call('HGET', KEYS[2], ARGV[2]) or ''
  for i = 3, #ARGV do
    if not string.find(items, ARGV[i] .. ' ', 1, true) then
      items = items .. ARGV[i] .. ' '
    end
  end
  redis.call('HSET', KEYS[2], ARGV[2], items)
end
for _, id in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now, 'LIMIT', 0, 100)) do
  redis.call('ZREM', KEYS[1], id)
  redis.call('HDEL', KEYS[2], id)
end
redis.call('PEXPIRE', KEYS[1], ARGV[1])
redis.call('PEXPIRE', KEYS[2], ARGV[1])
return 1
"""

# KEYS: ids. ARGV: ids to look up. Returns the position of the first one that is not there, or 0.
FIND_UNKNOWN = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
for i = 1, #ARGV do
  local expires = redis.call('ZSCORE', KEYS[1], ARGV[i])
  if not expires or tonumber(expires) <= now then
    return i
  end
end
return 0
"""

# KEYS: ids, items by response. ARGV: response id. Idempotent.
FORGET = """
for item in string.gmatch(redis.call('HGET', KEYS[2], ARGV[1]) or '', '%S+') do
  redis.call('ZREM', KEYS[1], item)
end
redis.call('HDEL', KEYS[2], ARGV[1])
return redis.call('ZREM', KEYS[1], ARGV[1])
"""


class ResponseOwners:
    """The ids of each user's responses. One per worker; the data is shared through Redis."""

    def __init__(self, settings: Settings, store: Store, quota: Quota) -> None:
        self._project = quote(settings.supabase_url.partition("://")[2], safe="")
        self._lifetime = settings.responses_kept_days * DAY
        self._store = store
        self._quota = quota

    def first_unknown(self, caller_id: str, ids: Sequence[str]) -> str | None:
        """Return the first of `ids` that this user does not own; None if they own all.

        Raises `OwnershipUnavailable` if Redis does not answer: an unchecked id is never passed on.
        """
        if long := next((one for one in ids if len(one) > MAX_ID), None):
            return long
        if not ids:
            return None
        try:
            position = self._store.run(FIND_UNKNOWN, (self._keys(caller_id)[0], *ids), keys=1)
        except UsageUnavailable as fault:
            raise OwnershipUnavailable(retry_after=fault.retry_after) from None
        return ids[position - 1] if position else None

    def remember(self, caller_id: str, response_id: str, item_ids: Sequence[str] = ()) -> None:
        """Record the ids as this user's. Returns once Redis has them.

        If Redis does not answer, the write is queued until it does. The answer is not held back then: it is paid for,
        and until Redis answers, `first_unknown` accepts these ids from no user.
        """
        self._write(REMEMBER, (*self._keys(caller_id), self._lifetime, response_id, *item_ids))

    def forget(self, caller_id: str, response_id: str) -> None:
        """Remove a response and its items, after its deletion at OpenAI. Queued if Redis does not answer."""
        self._write(FORGET, (*self._keys(caller_id), response_id))

    def _write(self, script: str, arguments: tuple[str | int, ...]) -> None:
        try:
            self._store.run(script, arguments, KEYS)
        except UsageUnavailable:
            self._quota.write_later(script, arguments, KEYS)

    def _keys(self, caller_id: str) -> tuple[str, str]:
        user = f"gpt-broker:{{{self._project}:{quote(caller_id, safe='')}}}"
        return f"{user}:response-ids", f"{user}:response-items"
