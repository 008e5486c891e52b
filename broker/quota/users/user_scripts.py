"""The Lua scripts behind the operator's commands. Each is idempotent: a command may reach Redis twice.

They change the keys of a user that `broker.quota.scripts` describes, in the same order, so that the next call on any
worker finds the change. Keys of a project:

`gpt-broker:{PROJECT:blocks}:recent`, sorted set of the users blocked lately, by the time (ms). Workers read it to end
the open calls of these users. New calls are refused by key 4 of the user.
`gpt-broker:{PROJECT:audit}:lines`, stream of the operator's changes, capped.
"""

KEPT_BLOCKS = 3_600_000  # ms for which workers look for open calls of a blocked user
MOST_BLOCKS = 1_000  # users in the set of recent blocks
MOST_LINES = 10_000  # of the audit log, approximately
RESET_AT_ONCE = 1_000  # calls given back by one run of RESET, so that it delays no other command

# KEYS: any key. Result: Redis' Unix time in seconds.
NOW = """
return tonumber(redis.call('TIME')[1])
"""

# KEYS: four of each user. Result: for each user calls, those given back by RESET, calls in flight, 1 if blocked, and
# the fields of key 3 in the order of FIELDS. Reads only.
FIELDS = ("t", "n", "rt", "rn", "xc", "xt", "xn", "gt", "gn", "ab")
SUMMARIES = f"""
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local rows = {{}}
for first = 1, #KEYS, 4 do
  local row = {{
    redis.call('ZCOUNT', KEYS[first], '(' .. now, '+inf'),
    redis.call('ZCOUNT', KEYS[first], '-inf', '-inf'),
    redis.call('ZCOUNT', KEYS[first + 1], '(' .. now, '+inf'),
    redis.call('EXISTS', KEYS[first + 3]),
  }}
  for _, value in ipairs(redis.call('HMGET', KEYS[first + 2], '{"','".join(FIELDS)}')) do
    row[#row + 1] = tonumber(value or 0)
  end
  rows[#rows + 1] = row
end
return rows
"""

# KEYS: the user's. ARGV: most calls at once, Unix time at which the keys expire. Gives back the finished calls of the
# day, with their tokens and money. A call in flight stays as it is and counts once it is over. A finished call keeps
# its id, with the score -inf: a late or repeated write of its end does not count it again.
# Result: calls, tokens, nano-dollars given back by this run.
RESET = """
local calls = redis.call('ZRANGEBYSCORE', KEYS[1], '+inf', '+inf', 'LIMIT', 0, ARGV[1])
for _, id in ipairs(calls) do redis.call('ZADD', KEYS[1], '-inf', id) end
local charged = redis.call('HMGET', KEYS[3], 't', 'n')
local tokens, nano = charged[1] or '0', charged[2] or '0'
redis.call('HINCRBY', KEYS[3], 'gt', tokens)
redis.call('HINCRBY', KEYS[3], 'gn', nano)
redis.call('HSET', KEYS[3], 't', 0, 'n', 0)
redis.call('HDEL', KEYS[3], 'ab')
redis.call('EXPIREAT', KEYS[3], ARGV[2])
return {#calls, tonumber(tokens), tonumber(nano)}
"""

# KEYS: the user's. ARGV: operation id, Unix time at which the keys expire, calls, tokens, nano-dollars on top of the
# limits of the day. Result: the sums granted.
GRANT = """
if redis.call('HSETNX', KEYS[3], 'grant:' .. ARGV[1], 1) == 1 then
  redis.call('HINCRBY', KEYS[3], 'xc', ARGV[3])
  redis.call('HINCRBY', KEYS[3], 'xt', ARGV[4])
  redis.call('HINCRBY', KEYS[3], 'xn', ARGV[5])
end
redis.call('EXPIREAT', KEYS[3], ARGV[2])
local sums = redis.call('HMGET', KEYS[3], 'xc', 'xt', 'xn')
return {tonumber(sums[1]), tonumber(sums[2]), tonumber(sums[3])}
"""

# KEYS: the user's key 4. Result: 1 if the user was not blocked before.
BLOCK = """
return redis.call('SETNX', KEYS[1], 1)
"""

# KEYS: the user's key 4. Result: 1 if the user was blocked before.
UNBLOCK = """
return redis.call('DEL', KEYS[1])
"""

# KEYS: recent blocks. ARGV: user, ms for which an entry is kept, most entries.
ANNOUNCE = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('ZADD', KEYS[1], now, ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - ARGV[2])
redis.call('ZREMRANGEBYRANK', KEYS[1], 0, -(ARGV[3] + 1))
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return 1
"""

# KEYS: recent blocks. ARGV: user.
WITHDRAW = """
return redis.call('ZREM', KEYS[1], ARGV[1])
"""

# KEYS: recent blocks. Result: the users.
RECENT = """
return redis.call('ZRANGE', KEYS[1], 0, -1)
"""

# KEYS: audit log. ARGV: operation id, most lines, further fields and values. Result: the line's id.
ADD_LINE = """
for _, line in ipairs(redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 20)) do
  if line[2][2] == ARGV[1] then return line[1] end
end
return redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[2], '*', 'operation', ARGV[1], unpack(ARGV, 3))
"""

# KEYS: audit log. ARGV: most lines. Result: the newest lines, newest first.
READ_LINES = """
return redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', ARGV[1])
"""
