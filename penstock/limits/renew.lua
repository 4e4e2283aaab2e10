-- Its holder still lives: places of leases and probes of gates are kept, and put back where Redis forgot them.
--
-- KEYS  the leases, then the gates
-- ARGV  how many leases; ms until they are given up
--       for each key: how many ids, the ids
-- A probe is kept only while its gate knows it: after a loss the gate is closed, and needs none.

local leases, hold = argument(), argument()
for place, key in ipairs(KEYS) do
  for _ = 1, argument() do
    local id = text()
    if place <= leases then
      redis.call('ZADD', key, now + hold, id)
    elseif redis.call('HEXISTS', key, 'probe:' .. id) == 1 then
      redis.call('HSET', key, 'probe:' .. id, now + hold)
    end
  end
end
