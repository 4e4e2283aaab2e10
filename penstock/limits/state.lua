-- What every script here knows of buckets, leases and gates; put in front of each of them by scripts.py.
--
-- A bucket is a HASH  penstock:bucket:<resource>:<scope>
--   level           what can be taken at the moment `at`; at most the room, below 0 where quota is reserved ahead
--   at              when `level` was written: ms of Redis TIME, with a fraction
--   room            how much it is known to hold: absent means its capacity, else less until the provider shows more
--   ahead           what is reserved for calls whose moment has not come; each stands in the ZSET <bucket>:ahead, as
--                   <id>:<amount> by that moment
--   under_way       what was taken for calls that have not ended, as it was estimated
--   paused_until    nothing goes before this: ms of Redis TIME; absent when nobody ever paused it
--   interactive_at  when a call with a client waiting last took from it: only then bulk work leaves it a reserve
--   told_at         when the provider last said how much is left; absent when it never did
--   corrected       by how much its word has lowered the level so far; only differences of it mean something
--   others          what others seem to use of it per ms, or what the provider charges more than we know; learnt from
--                   drift, the corrections since drift_at
-- A bucket without `level` is unknown: it is new, or Redis forgot it. No script but seed.lua makes a level.
--
-- A lease is a ZSET  penstock:lease:<scope>  of the reservations that hold one of its places, by the ms of Redis TIME
-- at which each is forgotten unless its holder renews it. The member `known`, of a score below 0, says that it was not
-- lost with Redis, and from when on it may be given out: until then the holders put back what they hold.
--
-- A gate is a HASH  penstock:gate:<deployment>: the circuit breaker, and a pause where no bucket can hold it
--   state           open or half_open; absent means closed
--   failed          closed: when the calls failed that no later call has made good, ms, separated by spaces
--   since           when it opened
--   succeeded       half open: how many probes came back well
--   probe:<id>      half open: a probe under way, and when it is given up
--   paused_until    as of a bucket
--   opened, half_open, closed   how often it became so
-- A gate that Redis forgot is closed: the provider's next failures open it again. Transitions go to the stream
-- penstock:gates:log and the channel penstock:gates.
--
-- Rate (per ms), capacity and the like are configuration, not state: every call brings them.

local time = redis.call('TIME')
local now = time[1] * 1000 + time[2] / 1000

local position = 0
local function text()
  position = position + 1
  return ARGV[position]
end
local function argument()
  return tonumber(text())
end

-- What is learnt of others holds for OTHERS_HOLD ms without news, then fades away over OTHERS_FADE: where nothing is
-- sent there is no news, and what is believed must not keep us from sending.
local OTHERS_HOLD, OTHERS_FADE = 2000, 5000
-- Once the provider tells how much is left, bulk work leaves a margin in it: so many ms of quota, since only a count above
-- 0 shows how far it is from ours; and a share of what is under way, since the provider may charge that much more than
-- was estimated, and tells when those calls end. Neither is more than a share of its room. It is missing once, not again
-- and again.
local MARGIN_MS, MARGIN_SHARE, DOUBT, DOUBT_SHARE = 600, 0.2, 0.5, 0.5

-- The bucket at this moment. After a step back of the clock `at` lies ahead: nothing is refilled for it.
local function read(key, rate, capacity)
  local stored = redis.call('HMGET', key, 'level', 'at', 'room', 'under_way', 'paused_until', 'interactive_at',
    'told_at', 'corrected', 'others', 'drift_at', 'ahead')
  local bucket = {key = key, full_rate = rate, capacity = capacity, level = tonumber(stored[1])}
  bucket.room = math.min(tonumber(stored[3]) or capacity, capacity)
  bucket.under_way = tonumber(stored[4]) or 0
  bucket.pause = math.max((tonumber(stored[5]) or 0) - now, 0)
  bucket.interactive_at = tonumber(stored[6])
  bucket.corrected = tonumber(stored[8]) or 0
  bucket.drift_at = tonumber(stored[10])
  bucket.ahead = tonumber(stored[11]) or 0
  if bucket.ahead > 0 then
    for _, member in ipairs(redis.call('ZRANGEBYSCORE', key .. ':ahead', '-inf', now)) do
      bucket.ahead = bucket.ahead - tonumber(string.match(member, ':(%d+)$'))
      redis.call('ZREM', key .. ':ahead', member)
    end
    redis.call('HSET', key, 'ahead', bucket.ahead)
  end
  bucket.told = stored[7] ~= false
  local fade = (now - (bucket.drift_at or 0) - OTHERS_HOLD) / OTHERS_FADE
  bucket.others = math.max((tonumber(stored[9]) or 0) * math.min(1 - fade, 1), 0)
  bucket.rate = rate - bucket.others
  if bucket.level then
    bucket.level = math.min(bucket.level + math.max(now - stored[2], 0) * bucket.rate, bucket.room)
  end
  return bucket
end

local function margin(bucket)
  if not bucket.told then
    return 0
  end
  local doubtful = DOUBT * math.max(bucket.under_way - bucket.ahead, 0)
  return math.min(bucket.full_rate * MARGIN_MS, bucket.room * MARGIN_SHARE) + math.min(doubtful, bucket.room * DOUBT_SHARE)
end

local KNOWN = 'known'
local GATE_LOG, GATE_CHANNEL, GATE_LOG_LENGTH = 'penstock:gates:log', 'penstock:gates', 1000

-- A gate became `state`: counted, told to whoever listens, and kept for whoever asks later.
local function transition(gate, state)
  redis.call('HINCRBY', gate.key, state == 'open' and 'opened' or state, 1)
  local told = {'gate', gate.key, 'state', state, 'at', string.format('%.0f', now)}
  redis.call('XADD', GATE_LOG, 'MAXLEN', '~', GATE_LOG_LENGTH, '*', unpack(told))
  redis.call('PUBLISH', GATE_CHANNEL, cjson.encode({gate.key, state}))
end

local function write(bucket)
  redis.call('HSET', bucket.key, 'level', bucket.level, 'at', now, 'under_way', bucket.under_way)
end
