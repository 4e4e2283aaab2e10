-- Takes from all the buckets of a reservation or from none; the reservations of a call are answered in their order.
--
-- KEYS  the buckets, each once
-- ARGV  horizon: how many ms ahead may be reserved
--       for each key:          rate per ms, capacity, floor
--       for each reservation:  1 for interactive or 0 for bulk, how many buckets, for each: its place in KEYS, amount
-- Answers two integers for each reservation:
--        1, ms   taken: go after so many ms. What is taken ahead of time is a debt, so whoever comes later queues behind.
--        0, ms   refused, nothing taken: it could go after so many ms, which is beyond the horizon
--       -1, n    nothing taken: KEYS[n] is unknown; seed it and ask again

local GO, REFUSED, UNKNOWN = 1, 0, -1
local horizon = argument()
local buckets, answers = {}, {}

for place, key in ipairs(KEYS) do
  local rate, capacity, floor = argument(), argument(), argument()
  local bucket = read(key, rate, capacity)
  bucket.place, bucket.floor = place, floor
  buckets[place] = bucket
end

-- How many ms until the bucket can give `amount`. Bulk leaves it at its floor, or goes when it is full: what is too
-- large to fit above the floor would otherwise never go.
local function wait_for(bucket, amount, interactive)
  local floor = interactive and 0 or math.min(bucket.floor, bucket.capacity - amount)
  return math.max((amount + floor - bucket.level) / bucket.rate, bucket.pause, 0)
end

local function reserve(interactive, claims)
  local wait = 0
  for _, claim in ipairs(claims) do
    if not claim.bucket.level then
      return UNKNOWN, claim.bucket.place
    end
    wait = math.max(wait, wait_for(claim.bucket, claim.amount, interactive))
  end
  wait = math.ceil(wait)
  if wait > horizon then
    return REFUSED, wait
  end
  for _, claim in ipairs(claims) do
    local bucket = claim.bucket
    -- A bucket that will be full before the call goes gains nothing by the rest of the wait: it has no place for it.
    bucket.level = math.min(bucket.level, bucket.capacity - bucket.rate * wait) - claim.amount
    bucket.taken = true
  end
  return GO, wait
end

while position < #ARGV do
  local interactive, claims = argument() == 1, {}
  for i = 1, argument() do
    local place, amount = argument(), argument()
    claims[i] = {bucket = buckets[place], amount = amount}
  end
  answers[#answers + 1], answers[#answers + 2] = reserve(interactive, claims)
end

for _, bucket in ipairs(buckets) do
  if bucket.taken then
    write(bucket)
  end
end
return answers
