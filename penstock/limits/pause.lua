-- The provider said no: nothing goes to it for a while, whoever asks.
--
-- KEYS  the buckets, or a gate where there are none
-- ARGV  how many ms; 1 to empty the buckets too, else 0; 1 when the provider did not say how much is left, else 0
--       for each key:  rate per ms, capacity (0 and 0 for a gate)
-- A pause is never shortened. It can be put on an unknown bucket, and outlives its seeding. A provider that says no and
-- not how much is left has somebody else to serve: a share of the rate is left to them, more with every refusal.

local SHARE = 0.1

local pause, drain, blind = argument(), argument() == 1, argument() == 1
for _, key in ipairs(KEYS) do
  local rate, capacity = argument(), argument()
  local bucket = read(key, rate, capacity)
  if pause > bucket.pause then
    redis.call('HSET', key, 'paused_until', now + pause)
  end
  if drain and bucket.level then
    if bucket.level > 0 then
      bucket.level = 0
      write(bucket)
    end
    if blind then
      local others = math.min(bucket.others + rate * SHARE, rate * (1 - SHARE))
      redis.call('HSET', key, 'others', others, 'drift', 0, 'drift_at', now)
    end
  end
end
