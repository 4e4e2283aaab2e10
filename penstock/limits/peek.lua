-- Reads and changes nothing.
--
-- KEYS  the buckets, then the leases, then the gates
-- ARGV  how many buckets, leases, gates
--       for each bucket:  rate per ms, capacity
--       for each gate:    ms it stays open, probes
-- Answers for each bucket: level at this moment, refill per ms, room and margin, as text (nil when unknown), for how many
-- ms it is paused, and for how many ms nobody with a client waiting took from it (-1: never); for each lease: how many places are
-- held (nil when unknown); for each gate: its state, for how many ms it lets nothing through or is paused, how many more
-- probes it lets through.

local answers = {}
local function answer(value)
  answers[#answers + 1] = value
end
local counts = {argument(), argument(), argument()}
for place = 1, counts[1] do
  local rate, capacity = argument(), argument()
  local bucket = read(KEYS[place], rate, capacity)
  answer(bucket.level and string.format('%.3f', bucket.level) or false)
  answer(string.format('%.9f', bucket.rate))
  answer(string.format('%.3f', bucket.room))
  answer(string.format('%.3f', margin(bucket)))
  answer(math.ceil(bucket.pause))
  answer(bucket.interactive_at and math.max(math.floor(now - bucket.interactive_at), 0) or -1)
end
for place = counts[1] + 1, counts[1] + counts[2] do
  local known = redis.call('ZSCORE', KEYS[place], KNOWN)
  answer(known and redis.call('ZCOUNT', KEYS[place], now, '+inf'))
end
for place = counts[1] + counts[2] + 1, #KEYS do
  local reset, probes = argument(), argument()
  local stored = redis.call('HMGET', KEYS[place], 'state', 'since', 'succeeded', 'paused_until')
  local state, shut = stored[1] or 'closed', math.max((tonumber(stored[4]) or 0) - now, 0)
  local left = probes
  if state == 'open' then
    shut = math.max((tonumber(stored[2]) or 0) + reset - now, shut)
  elseif state == 'half_open' then
    left = probes - (tonumber(stored[3]) or 0)
    local fields = redis.call('HGETALL', KEYS[place])
    for at = 1, #fields, 2 do
      if string.sub(fields[at], 1, 6) == 'probe:' and tonumber(fields[at + 1]) > now then
        left = left - 1
      end
    end
  end
  answer(state)
  answer(math.ceil(shut))
  answer(math.max(left, 0))
end
return answers
