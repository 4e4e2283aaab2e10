-- Puts real usage in the place of estimates: gives back what was not used, takes what was used beyond.
--
-- KEYS  the sender's last batch (STRING penstock:settled:<sender>, forgotten after an idle hour), then the buckets
-- ARGV  number of this batch: a sender counts up from 1 and sends the next one only when this one was answered
--       for each bucket:  rate per ms, capacity, what is given back, what is taken
-- A batch that comes twice, because its answer was lost, counts once. An unknown bucket stays unknown.

local batch = argument()
if batch <= tonumber(redis.call('GET', KEYS[1]) or 0) then
  return
end

for place = 2, #KEYS do
  local rate, capacity, given_back, taken = argument(), argument(), argument(), argument()
  local bucket = read(KEYS[place], rate, capacity)
  if bucket.level then
    -- In this order, so that what the capacity cuts off cannot pay for what was taken.
    bucket.level = math.min(bucket.level + given_back, capacity) - taken
    write(bucket)
  end
end
redis.call('SET', KEYS[1], batch, 'EX', 3600)
