"""A user's calls, tokens and money of a UTC day as Redis holds them, and the Lua scripts that change them.

Each script is atomic and idempotent, and the scripts of a call give the same end in any order. The hash tag keeps all
keys of a user in one slot of a cluster. The keys of user USER of project PROJECT, in the order of KEYS:

1. `gpt-broker:{PROJECT:USER}:calls:DAY`, sorted set of call ids. The score is the state of the call: the time (ms) at
   which its lease expires, `COUNTED` once OpenAI has begun to answer, +inf once it is finished, -inf once the operator
   has given the finished call back; a negative score marks a call that was given back, until that time, so that a late
   RESERVE does not bring it back. The day's calls are the members above the current time.
2. `gpt-broker:{PROJECT:USER}:places`, sorted set of the ids of the calls in flight, by the time at which the lease
   expires. `MAX_CALLS_PER_USER` limits their number. A call that drops out of it loses its reserved amounts.
3. `gpt-broker:{PROJECT:USER}:amounts:DAY`, hash: `t` tokens and `n` nano-dollars charged, `rt` and `rn` reserved,
   `lt` and `ln` lapsed; `xc`, `xt` and `xn` calls, tokens and nano-dollars granted on top of the limits of the day;
   `gt` and `gn` given back by the operator; `ab` calls abandoned before the first text; and for each call in flight, by
   its id, "TOKENS NANO-DOLLARS" reserved.
4. `gpt-broker:{PROJECT:USER}:blocked`, a string that exists while the user is blocked.

The operator's commands (`quota/users/user_scripts.py`) change `xc`, `xt` and `xn`, key 4, and the scores of finished
calls. DAY is a date (2026-11-24) by Redis' own clock.
"""

LEASE = 60_000  # ms after which a reservation lapses unless it is renewed
KEYS = 4

# answers of RESERVE: its first number
ADMITTED, OVER_CALLS, NO_PLACE, WRONG_DAY, BLOCKED, OVER_TOKENS, OVER_SPEND = 1, 0, -1, -2, -3, -4, -5
# outcomes for FINISH
GIVE_BACK, CHARGE, ABANDON = 0, 1, 2

# ARGV of all scripts: call id, lease in ms, Unix time at which the day's keys expire, places (-1: any number).
# Only a key that a script may have created gets an expiry: each command costs a microsecond.
_COMMON = """
local COUNTED, id = 1e15, ARGV[1]
local function clock()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000), tonumber(time[1])
end
local function integer(number) return string.format('%.0f', number + 0) end
local function state()
  local score = redis.call('ZSCORE', KEYS[1], id)
  if not score then return 'new' end
  if score == 'inf' or score == '-inf' then return 'finished' end
  score = tonumber(score)
  if score < 0 then return 'given back' end
  return score >= COUNTED and 'counted' or 'leased'
end
local function amount_of(text)
  local tokens, nano = string.match(text, '(%d+) (%d+)')
  return tonumber(tokens), tonumber(nano)
end
local function expire(number) redis.call('EXPIREAT', KEYS[number], ARGV[3]) end
"""

# The ZADD of nothing fails on a full Redis, which lets a script add once it has removed something.
_DAY = (
    _COMMON
    + """
local now, seconds = clock()
if math.floor(seconds / 86400) ~= tonumber(ARGV[5]) then return {-2, seconds} end
local lapsed = redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', now)
if #lapsed > 0 then
  redis.call('ZADD', KEYS[1], 'XX', 0, '')
  redis.call('ZREMRANGEBYSCORE', KEYS[1], -now, now)
end
for _, call in ipairs(lapsed) do
  local text = redis.call('HGET', KEYS[3], call)
  redis.call('ZREM', KEYS[2], call)
  if text then
    local tokens, nano = amount_of(text)
    redis.call('HDEL', KEYS[3], call)
    for name, change in pairs({rt = -tokens, rn = -nano, lt = tokens, ln = nano}) do
      redis.call('HINCRBY', KEYS[3], name, integer(change))
    end
  end
end
local read = redis.call('HMGET', KEYS[3], 't', 'n', 'rt', 'rn', 'xc', 'xt', 'xn', id)
local sum, used = {}, redis.call('ZCOUNT', KEYS[1], '(' .. now, '+inf')
for number = 1, 7 do sum[number] = tonumber(read[number] or 0) end
local function answer(number, output, watched)
  return {number, used, sum[1], sum[2], sum[3], sum[4], sum[5], sum[6], sum[7], output, watched}
end
local is_blocked = redis.call('EXISTS', KEYS[4]) == 1
"""
)

# ARGV from 5: day number, limits of calls, tokens and nano-dollars (-1: none); of the call: input tokens, wanted and
# least output tokens, nano-dollars per token of input and output; 1 if the limits of amounts are only watched.
# The output is lowered to half of the remainder, but not below the minimum, so that a second call finds something too.
# Result: the answer, calls, tokens and nano-dollars charged, reserved, granted on top; the output granted; the limits
# that would have refused (1 tokens, 2 money). If the day differs from Redis': WRONG_DAY and Redis' Unix time.
RESERVE = (
    _DAY
    + """
local max_calls, max_tokens, max_nano = tonumber(ARGV[6]), tonumber(ARGV[7]), tonumber(ARGV[8])
local input, output, least = tonumber(ARGV[9]), tonumber(ARGV[10]), tonumber(ARGV[11])
local each_in, each_out, places = tonumber(ARGV[12]), tonumber(ARGV[13]), tonumber(ARGV[4])
local wanted, watched, watches = output, 0, ARGV[14] == '1'
if is_blocked then return answer(-3, output, 0) end
if state() ~= 'new' then
  if read[8] then output = amount_of(read[8]) - input end
  return answer(1, output, 0)
end
if max_calls >= 0 and used >= max_calls + sum[5] then return answer(0, output, 0) end
local function fit(left, fixed, each, number, bit)
  local room = each > 0 and math.floor((left - fixed) / each) or (left >= fixed and 2 * wanted or -1)
  if room < least then
    watched = watched + bit
    return not watches and number or nil
  end
  if not watches then output = math.min(output, math.max(least, math.floor(room / 2))) end
end
local over = max_tokens >= 0 and fit(max_tokens + sum[6] - sum[1] - sum[3], input, 1, -4, 1)
over = over or max_nano >= 0 and fit(max_nano + sum[7] - sum[2] - sum[4], input * each_in, each_out, -5, 2)
if over then return answer(over, output, watched) end
if places >= 0 and redis.call('ZCARD', KEYS[2]) >= places then return answer(-1, output, watched) end
local tokens, nano, until_ms = input + output, input * each_in + output * each_out, integer(now + ARGV[2])
redis.call('ZADD', KEYS[1], until_ms, id)
redis.call('ZADD', KEYS[2], until_ms, id)
if used == 0 then expire(1) end
expire(2)
used, sum[3], sum[4] = used + 1, sum[3] + tokens, sum[4] + nano
redis.call('HSET', KEYS[3], 'rt', integer(sum[3]), 'rn', integer(sum[4]), id, integer(tokens) .. ' ' .. integer(nano))
if not read[3] then expire(3) end
return answer(1, output, watched)
"""
)

# A call in flight keeps its place and its amounts, and its count until OpenAI answers. Others stay as they are.
RENEW = (
    _COMMON
    + """
local until_ms = integer(clock() + ARGV[2])
redis.call('ZADD', KEYS[2], 'XX', 'GT', until_ms, id)
if state() == 'leased' then redis.call('ZADD', KEYS[1], 'XX', 'GT', until_ms, id) end
return 1
"""
)

# OpenAI has begun to answer: the call counts. Its amounts stay reserved until FINISH.
SETTLE = (
    _COMMON
    + """
local before = state()
if before ~= 'finished' then
  redis.call('ZADD', KEYS[1], before == 'given back' and '+inf' or COUNTED, id)
  if before == 'new' then expire(1) end
end
return 1
"""
)

# ARGV from 5: outcome, tokens and nano-dollars to charge, abandoned calls a day that are free. The call is over: its
# place is free, and what it took replaces what was reserved. The removal comes first: a full Redis allows that.
# Result: 1 if the call counts.
FINISH = (
    _COMMON
    + """
local outcome, before = tonumber(ARGV[5]), state()
local read, sum = redis.call('HMGET', KEYS[3], 't', 'n', 'rt', 'rn', 'ab', id), {}
for number = 1, 5 do sum[number] = tonumber(read[number] or 0) end
redis.call('ZREM', KEYS[2], id)
if read[6] then
  local tokens, nano = amount_of(read[6])
  sum[3], sum[4] = sum[3] - tokens, sum[4] - nano
  redis.call('HDEL', KEYS[3], id)
end
local is_over = before == 'finished' or before == 'given back' and outcome ~= 1
local counts = not is_over and (outcome == 1 or before == 'counted')
if outcome == 2 and not counts and not is_over then
  sum[5] = sum[5] + 1
  counts = sum[5] > tonumber(ARGV[8])
end
if counts then sum[1], sum[2] = sum[1] + ARGV[6], sum[2] + ARGV[7] end
for number = 1, 5 do sum[number] = integer(sum[number]) end
redis.call('HSET', KEYS[3], 't', sum[1], 'n', sum[2], 'rt', sum[3], 'rn', sum[4], 'ab', sum[5])
if not read[3] then expire(3) end
if counts then
  redis.call('ZADD', KEYS[1], '+inf', id)
elseif not is_over then
  local now = clock()
  redis.call('ZREMRANGEBYSCORE', KEYS[1], -now, now)
  redis.call('ZADD', KEYS[1], integer(-(now + ARGV[2])), id)
end
if before == 'new' or not counts then expire(1) end
return (counts or before == 'finished') and 1 or 0
"""
)

# ARGV 5: day number. Result as RESERVE's, without a call: the first number is 1, BLOCKED or WRONG_DAY.
READ = (
    _DAY
    + """
return answer(is_blocked and -3 or 1, 0, 0)
"""
)

# KEYS: any key. Fails on a Redis that is full or read-only, which still reads and deletes.
PROBE = "return redis.call('SET', KEYS[1], 1, 'PX', 1000)"

ADDING = frozenset({RESERVE, RENEW, SETTLE, PROBE})  # their success shows that Redis can count
