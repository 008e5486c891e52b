"""Which user owns which stored response, and its tokens: the ids that OpenAI gave to each user, in Redis.

OpenAI keeps all responses of the broker under one account and returns any of them to any request that names its id. The
broker therefore accepts an id only from the user in whose answer it appeared. An id of another user, an unknown id and
an expired id are the same: not in the caller's set.

Four keys a user, in one slot of a cluster: a sorted set of ids, with the time (ms) at which each expires as its score;
a hash from a response's id to the ids of its items, which are forgotten with it; a hash from an id to the fingerprint
of the OpenAI key that it was made with, because OpenAI keeps a response in that key's project; and a hash of tokens.

A request that refers to a response takes its tokens as input once more, and OpenAI bills them:
https://platform.openai.com/docs/guides/conversation-state. The hash of tokens has the fields `ID input` and `ID output`
of a response, and for an item the name of the field that bounds its tokens. A response of an older version has none.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import quote

from broker.errors.base import UsageUnavailable
from broker.errors.responses import OwnershipUnavailable
from broker.quota.quota import Quota
from broker.quota.redis_store import Store
from broker.settings.settings import Settings

DAY = 86_400_000  # ms
KEYS = 4  # of each script: ids, items by response, fingerprints by id, tokens
MAX_ID = 128  # characters; OpenAI's ids have about 55

# ARGV: lifetime in ms, fingerprint, the side of the response that has the items, its input and output tokens ('' while
# they are unknown), response id, item ids. Idempotent. Writes first: a full Redis refuses the script before it has
# changed anything. An item that is known already belongs to an earlier response, which keeps it: the list of a
# response's input names items of the responses before it.
REMEMBER = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local response, items = ARGV[6], ''
for i = 6, #ARGV do
  if redis.call('ZADD', KEYS[1], now + ARGV[1], ARGV[i]) == 1 and i > 6 then
    items = items .. ARGV[i] .. ' '
    redis.call('HSET', KEYS[4], ARGV[i], response .. ' ' .. ARGV[3])
  end
  redis.call('HSET', KEYS[3], ARGV[i], ARGV[2])
end
if items ~= '' then
  redis.call('HSET', KEYS[2], response, (redis.call('HGET', KEYS[2], response) or '') .. items)
end
if ARGV[4] ~= '' then
  redis.call('HSET', KEYS[4], response .. ' input', ARGV[4], response .. ' output', ARGV[5])
end
for _, id in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now, 'LIMIT', 0, 100)) do
  redis.call('ZREM', KEYS[1], id)
  redis.call('HDEL', KEYS[2], id)
  redis.call('HDEL', KEYS[3], id)
  redis.call('HDEL', KEYS[4], id, id .. ' input', id .. ' output')
end
for i = 1, #KEYS do
  redis.call('PEXPIRE', KEYS[i], ARGV[1])
end
return 1
"""

# ARGV: ids to look up. Returns the position of the first one that is not there, or 0; the first fingerprint; and the
# tokens of all, those of each side of a response once.
LOOK_UP = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local fingerprint, tokens, counted = '', 0, {}
for i = 1, #ARGV do
  local expires = redis.call('ZSCORE', KEYS[1], ARGV[i])
  if not expires or tonumber(expires) <= now then
    return {i, '', 0}
  end
  if fingerprint == '' then
    fingerprint = redis.call('HGET', KEYS[3], ARGV[i]) or ''
  end
  local side = redis.call('HGET', KEYS[4], ARGV[i])
  for _, field in ipairs(side and {side} or {ARGV[i] .. ' input', ARGV[i] .. ' output'}) do
    if not counted[field] then
      counted[field] = true
      tokens = tokens + (redis.call('HGET', KEYS[4], field) or 0)
    end
  end
end
return {0, fingerprint, tokens}
"""

# ARGV: response id. Idempotent.
FORGET = """
for item in string.gmatch(redis.call('HGET', KEYS[2], ARGV[1]) or '', '%S+') do
  redis.call('ZREM', KEYS[1], item)
  redis.call('HDEL', KEYS[3], item)
  redis.call('HDEL', KEYS[4], item)
end
redis.call('HDEL', KEYS[2], ARGV[1])
redis.call('HDEL', KEYS[3], ARGV[1])
redis.call('HDEL', KEYS[4], ARGV[1] .. ' input', ARGV[1] .. ' output')
return redis.call('ZREM', KEYS[1], ARGV[1])
"""


@dataclass(frozen=True, slots=True)
class Found:
    """The result of a look-up.

    `unknown`: the first id that the user does not own, None if they own all. `fingerprint`: of the OpenAI key that the
    first of the ids was made with, None if there is no record of it. `tokens`: what the ids bring into a request at
    most, those of each response once; 0 for a response whose tokens are not recorded.
    """

    unknown: str | None = None
    fingerprint: str | None = None
    tokens: int = 0


class ResponseOwners:
    """The ids of each user's responses. One per worker; the data is shared through Redis."""

    def __init__(self, settings: Settings, store: Store, quota: Quota) -> None:
        self._project = quote(settings.supabase_url.partition("://")[2], safe="")
        self._lifetime = settings.responses_kept_days * DAY
        self._store = store
        self._quota = quota

    def look_up(self, caller_id: str, ids: Sequence[str]) -> Found:
        """Return whether this user owns all of `ids`, the OpenAI key that they were made with, and their tokens.

        Raises `OwnershipUnavailable` if Redis does not answer: an unchecked id is never passed on.
        """
        if long := next((one for one in ids if len(one) > MAX_ID), None):
            return Found(long)
        if not ids:
            return Found()
        try:
            position, fingerprint, tokens = self._store.run(LOOK_UP, (*self._keys(caller_id), *ids), KEYS)
        except UsageUnavailable as fault:
            raise OwnershipUnavailable(retry_after=fault.retry_after) from None
        return Found(ids[position - 1]) if position else Found(None, fingerprint.decode() or None, tokens)

    def remember(
        self,
        caller_id: str,
        fingerprint: str,
        response_id: str,
        item_ids: Sequence[str] = (),
        tokens: tuple[int, int] | None = None,
    ) -> None:
        """Record the ids of an answer as this user's, made with the OpenAI key of this fingerprint.

        `tokens`: its input and output, once it has ended. Returns once Redis has them.

        If Redis does not answer, the write is queued until it does. The answer is not held back then: it is paid for,
        and until Redis answers, `look_up` accepts these ids from no user.
        """
        sizes = ("", "") if tokens is None else tokens
        known = (self._lifetime, fingerprint, "output", *sizes, response_id)
        self._write(REMEMBER, (*self._keys(caller_id), *known, *item_ids))

    def remember_input(self, caller_id: str, fingerprint: str, response_id: str, item_ids: Sequence[str]) -> None:
        """Record the ids of a response's input items. Those of earlier answers are known, and stay theirs."""
        known = (self._lifetime, fingerprint, "input", "", "", response_id)
        self._write(REMEMBER, (*self._keys(caller_id), *known, *item_ids))

    def forget(self, caller_id: str, response_id: str) -> None:
        """Remove a response and its items, after its deletion at OpenAI. Queued if Redis does not answer."""
        self._write(FORGET, (*self._keys(caller_id), response_id))

    def _write(self, script: str, arguments: tuple[str | int, ...]) -> None:
        try:
            self._store.run(script, arguments, KEYS)
        except UsageUnavailable:
            self._quota.write_later(script, arguments, KEYS)

    def _keys(self, caller_id: str) -> tuple[str, ...]:
        user = f"gpt-broker:{{{self._project}:{quote(caller_id, safe='')}}}"
        return tuple(f"{user}:response-{name}" for name in ("ids", "items", "keys", "tokens"))
