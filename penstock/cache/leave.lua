-- Keeps an answer within a budget of bytes, and gives up the lead of making it.
--
-- KEYS[1] STRING: the entry
-- KEYS[2] STRING: who makes the answer now
-- KEYS[3] ZSET: every entry by the ms since 1970 at which it expires
-- KEYS[4] HASH: the size of every entry, and "total"
-- ARGV[1] token of the caller; empty: it does not lead
-- ARGV[2] the entry, empty where there is none to keep
-- ARGV[3] ms for which it is kept
-- ARGV[4] budget in bytes
-- ARGV[5] ms for which others are told to go alone, 0: they may take the lead
--
-- Answers how many entries made room. The first to expire go first.
local moved = 0
local function drop(key)
  local size = tonumber(redis.call('HGET', KEYS[4], key) or '0')
  redis.call('UNLINK', key)
  redis.call('ZREM', KEYS[3], key)
  redis.call('HDEL', KEYS[4], key)
  redis.call('HINCRBY', KEYS[4], 'total', -size)
end
if ARGV[2] ~= '' then
  local time = redis.call('TIME')
  local now = time[1] * 1000 + math.floor(time[2] / 1000)
  local size, budget = #ARGV[2], tonumber(ARGV[4])
  if redis.call('ZSCORE', KEYS[3], KEYS[1]) then
    drop(KEYS[1])
  end
  for _, key in ipairs(redis.call('ZRANGE', KEYS[3], '-inf', now, 'BYSCORE', 'LIMIT', 0, 50)) do
    drop(key)
  end
  while tonumber(redis.call('HGET', KEYS[4], 'total') or '0') + size > budget do
    local first = redis.call('ZRANGE', KEYS[3], 0, 0)[1]
    if not first then
      redis.call('DEL', KEYS[4])
      break
    end
    drop(first)
    moved = moved + 1
  end
  if size <= budget then
    redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
    redis.call('ZADD', KEYS[3], now + tonumber(ARGV[3]), KEYS[1])
    redis.call('HSET', KEYS[4], KEYS[1], size)
    redis.call('HINCRBY', KEYS[4], 'total', size)
  end
end
if ARGV[1] ~= '' and redis.call('GET', KEYS[2]) == ARGV[1] then
  if tonumber(ARGV[5]) > 0 then
    redis.call('SET', KEYS[2], '-', 'PX', ARGV[5])
  else
    redis.call('DEL', KEYS[2])
  end
end
return moved
