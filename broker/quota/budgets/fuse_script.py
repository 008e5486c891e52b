"""The tenant's daily budget in Redis, and the script that allots slices of it to workers.

KEYS: `gpt-broker:{PROJECT:tenant}:spend:DAY`, hash: `spent` nano-dollars reported, `held` by all workers, `h:WORKER`
held by one, `q:WORKER` the number of its last message; and `…:holders:DAY`, sorted set of workers by the time (ms) at
which their hold lapses. The slice of a dead worker is released after a minute.
"""

HOLD = 60_000  # ms after which the slice of a silent worker is released

# ARGV: worker, hold in ms, Unix time at which the keys expire, day number, limit, the message's number, nano-dollars
# spent since the last message, wanted (negative: no longer needed). A repeated message counts once.
# Result: 1, held by this worker, spent, held by all; if the day differs from Redis': -2 and Redis' Unix time.
EXCHANGE = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
if math.floor(time[1] / 86400) ~= tonumber(ARGV[4]) then return {-2, tonumber(time[1])} end
local function integer(number) return string.format('%.0f', number + 0) end
local function field(name) return tonumber(redis.call('HGET', KEYS[1], name) or 0) end
for _, worker in ipairs(redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', now)) do
  redis.call('HINCRBY', KEYS[1], 'held', integer(-field('h:' .. worker)))
  redis.call('HDEL', KEYS[1], 'h:' .. worker)
  redis.call('ZREM', KEYS[2], worker)
end
local worker, number = ARGV[1], tonumber(ARGV[6])
local held, spent, mine = field('held'), field('spent'), field('h:' .. worker)
if number > field('q:' .. worker) then
  spent = spent + tonumber(ARGV[7])
  local rest = math.max(0, mine - tonumber(ARGV[7]))
  local free = tonumber(ARGV[5]) - spent - (held - mine + rest)
  local wanted = math.min(tonumber(ARGV[8]), math.max(0, free))
  rest = math.max(0, rest + wanted)
  held, mine = held - mine + rest, rest
  redis.call('HSET', KEYS[1], 'spent', integer(spent), 'held', integer(held), 'h:' .. worker, integer(mine),
    'q:' .. worker, ARGV[6])
end
redis.call('ZADD', KEYS[2], now + ARGV[2], worker)
redis.call('EXPIREAT', KEYS[1], ARGV[3])
redis.call('EXPIREAT', KEYS[2], ARGV[3])
return {1, mine, spent, held}
"""
