-- What every script here knows of a token bucket; put in front of each of them by scripts.py.
--
-- A bucket is a HASH  penstock:bucket:<requests|tokens>:<provider>[/<upstream model>]
--   level         what can be taken at the moment `at`; at most the capacity, below 0 where quota is reserved ahead
--   at            when `level` was written: ms of Redis TIME, with a fraction
--   paused_until  nothing goes before this: ms of Redis TIME; absent when nobody ever paused it
-- A bucket without `level` is unknown: it is new, or Redis forgot it. No script but seed.lua makes a level.
-- Rate (per ms) and capacity are configuration, not state: every call brings them.

local time = redis.call('TIME')
local now = time[1] * 1000 + time[2] / 1000

-- The bucket at this moment. After a step back of the clock `at` lies ahead: nothing is refilled for it.
local function read(key, rate, capacity)
  local stored = redis.call('HMGET', key, 'level', 'at', 'paused_until')
  local level, pause = tonumber(stored[1]), math.max((tonumber(stored[3]) or 0) - now, 0)
  if level then
    level = math.min(level + math.max(now - stored[2], 0) * rate, capacity)
  end
  return {key = key, rate = rate, capacity = capacity, level = level, pause = pause}
end

local function write(bucket)
  redis.call('HSET', bucket.key, 'level', bucket.level, 'at', now)
end

local position = 0
local function argument()
  position = position + 1
  return tonumber(ARGV[position])
end
