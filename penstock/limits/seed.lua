-- Gives unknown buckets a level. Of several who do it at once, the first counts.
--
-- KEYS  the buckets
-- ARGV  for each key: its level, counted by the caller from what was really sent
-- Answers how many were unknown.

local seeded = 0
for _, key in ipairs(KEYS) do
  if redis.call('HSETNX', key, 'level', argument()) == 1 then
    redis.call('HSET', key, 'at', now)
    seeded = seeded + 1
  end
end
return seeded
