-- The provider said no: nothing goes to it for a while, whoever asks.
--
-- KEYS  the buckets
-- ARGV  how many ms; 1 to empty the buckets too, else 0
--       for each key:  rate per ms, capacity
-- A pause is never shortened. It can be put on an unknown bucket, and outlives its seeding.

local pause, drain = argument(), argument() == 1
for _, key in ipairs(KEYS) do
  local rate, capacity = argument(), argument()
  local bucket = read(key, rate, capacity)
  if pause > bucket.pause then
    redis.call('HSET', key, 'paused_until', now + pause)
  end
  if drain and bucket.level and bucket.level > 0 then
    bucket.level = 0
    write(bucket)
  end
end
