-- Makes known what Redis did not know. Of several who do it at once, the first counts.
--
-- KEYS  the buckets, then the leases
-- ARGV  how many buckets
--       for each bucket: its level, counted by the caller from what was really sent; and its room (-1: its capacity)
--       for each lease:  ms until it may be given out, so that those who hold a place can put it back
-- Answers how many were unknown.

local seeded = 0
local buckets = argument()
for place, key in ipairs(KEYS) do
  if place > buckets then
    seeded = seeded + redis.call('ZADD', key, 'NX', -(now + argument()), KNOWN)
  else
    local level, room = argument(), argument()
    if redis.call('HSETNX', key, 'level', level) == 1 then
      redis.call('HSET', key, 'at', now)
      if room >= 0 then
        redis.call('HSETNX', key, 'room', room)
      end
      seeded = seeded + 1
    end
  end
end
return seeded
