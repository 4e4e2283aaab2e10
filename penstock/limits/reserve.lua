-- Takes what a call needs from all the buckets, leases and the gate of its deployment and tenant, or nothing of it;
-- the reservations of one script call are answered in their order.
--
-- KEYS  the buckets, then the leases, then the gates, each once
-- ARGV  how many ms ahead bulk may reserve, and interactive; how many buckets, leases, gates
--       ms after which a place or a probe that nobody renews is free again
--       for each bucket:       rate per ms, capacity, reserve
--       for each lease:        places
--       for each gate:         ms it stays open, probes
--       for each reservation:  id; 1 for interactive or 0 for bulk
--                              place of its gate
--                              how many buckets, for each: place, amount
--                              how many leases, for each: place
-- Places count in KEYS, from 1; place 0 of a gate means that there is none.
-- Answers integers for each reservation:
--        1, ms, p, …  taken: go after so many ms; p is 1 for a probe. What is taken ahead of time is a debt, so whoever
--                   comes later queues behind. For each bucket follows how much the provider should have left when this
--                   call has begun, plus what it has corrected so far: settle.lua wants it back
--        0, ms, k   refused, nothing taken: bucket KEYS[k] could give it after so many ms, which is too far ahead
--       -1, n, 0    nothing taken: KEYS[n] is unknown; seed it and ask again
--       -2, ms, k   nothing taken: lease KEYS[k] has no free place; ms is not 0 while it waits for its holders
--       -3, ms, k   nothing taken: gate KEYS[k] is shut, for so many ms or until its probes come back

local GO, REFUSED, UNKNOWN, FULL, SHUT = 1, 0, -1, -2, -3
-- for so long after an interactive call took from a bucket, bulk work leaves it the reserve
local INTERACTIVE_MS = 600000

local horizons = {argument(), argument()}
local counts = {argument(), argument(), argument()}
local hold = argument()
local buckets, leases, gates, answers = {}, {}, {}, {}

for place = 1, counts[1] do
  local rate, capacity, reserve = argument(), argument(), argument()
  local bucket = read(KEYS[place], rate, capacity)
  bucket.place = place
  -- What is kept for interactive work lies above the reserve by what bulk may take ahead of time: that debt must not
  -- come out of the reserve.
  bucket.kept = 0
  if reserve > 0 and bucket.interactive_at and now - bucket.interactive_at < INTERACTIVE_MS then
    bucket.kept = reserve + rate * horizons[1]
  end
  buckets[place] = bucket
end

for i = 1, counts[2] do
  local key = KEYS[counts[1] + i]
  redis.call('ZREMRANGEBYSCORE', key, 0, now)
  local lease = {key = key, free = argument() - redis.call('ZCARD', key) + 1}
  local known = redis.call('ZSCORE', key, KNOWN)
  lease.known = known ~= false
  lease.shut = lease.known and math.max(-known - now, 0)
  leases[counts[1] + i] = lease
end

for i = 1, counts[3] do
  local place = counts[1] + counts[2] + i
  local gate = {key = KEYS[place], reset = argument(), probes = argument(), busy = 0}
  local stored = redis.call('HMGET', gate.key, 'state', 'since', 'succeeded', 'paused_until')
  gate.state = stored[1] or 'closed'
  gate.pause = math.max((tonumber(stored[4]) or 0) - now, 0)
  gate.succeeded = tonumber(stored[3]) or 0
  if gate.state == 'open' then
    gate.shut = (tonumber(stored[2]) or 0) + gate.reset - now
  elseif gate.state == 'half_open' then
    local fields = redis.call('HGETALL', gate.key)
    for at = 1, #fields, 2 do
      if string.sub(fields[at], 1, 6) == 'probe:' then
        if tonumber(fields[at + 1]) > now then
          gate.busy = gate.busy + 1
        else
          redis.call('HDEL', gate.key, fields[at])
        end
      end
    end
  end
  gates[place] = gate
end

-- How many ms until the bucket can give `amount`. Bulk leaves it at its floor, or goes when it is full: what is too
-- large to fit above the floor would otherwise never go.
local function wait_for(bucket, amount, interactive)
  local floor = math.min(interactive and 0 or bucket.kept + margin(bucket), bucket.room - amount)
  return math.max((amount + floor - bucket.level) / bucket.rate, bucket.pause, 0)
end

-- How many ms the gate is shut, nil when it lets a call through.
local function shut_for(gate)
  if gate.state == 'open' and gate.shut > 0 then
    return math.ceil(gate.shut)
  elseif gate.state ~= 'closed' and gate.busy + gate.succeeded >= gate.probes then
    return 1000
  end
end

-- Called for a call that goes: true when it is a probe.
local function pass(gate, id)
  if gate.state == 'closed' then
    return false
  end
  if gate.state == 'open' then
    gate.state, gate.succeeded, gate.busy = 'half_open', 0, 0
    redis.call('HSET', gate.key, 'state', 'half_open', 'succeeded', 0)
    transition(gate, 'half_open')
  end
  gate.busy = gate.busy + 1
  redis.call('HSET', gate.key, 'probe:' .. id, now + hold)
  return true
end

local function reserve(id, interactive, gate_place, claims, lease_places)
  local gate = gates[gate_place]
  if gate then
    local shut = shut_for(gate)
    if shut then
      return SHUT, shut, gate_place
    end
  end
  local wait, slowest = gate and gate.pause or 0, 0
  for _, claim in ipairs(claims) do
    if not claim.bucket.level then
      return UNKNOWN, claim.bucket.place, 0
    end
    local own = wait_for(claim.bucket, claim.amount, interactive)
    if own > wait then
      wait, slowest = own, claim.bucket.place
    end
  end
  for _, place in ipairs(lease_places) do
    if not leases[place].known then
      return UNKNOWN, place, 0
    elseif leases[place].free <= 0 or leases[place].shut > 0 then
      return FULL, math.ceil(leases[place].shut), place
    end
  end
  wait = math.ceil(wait)
  if wait > horizons[interactive and 2 or 1] then
    return REFUSED, wait, slowest
  end
  for _, claim in ipairs(claims) do
    local bucket = claim.bucket
    -- A bucket that will be full before the call goes gains nothing by the rest of the wait: it has no place for it.
    bucket.level = math.min(bucket.level, bucket.room - bucket.rate * wait) - claim.amount
    bucket.under_way = bucket.under_way + claim.amount
    if wait > 0 and claim.amount > 0 then
      bucket.ahead = bucket.ahead + claim.amount
      redis.call('ZADD', bucket.key .. ':ahead', now + wait, id .. ':' .. claim.amount)
      redis.call('HSET', bucket.key, 'ahead', bucket.ahead)
    end
    bucket.then_left = wait > 0 and bucket.level + bucket.rate * wait or bucket.level + bucket.ahead
    bucket.taken, bucket.interactive = true, bucket.interactive or interactive
  end
  for _, place in ipairs(lease_places) do
    local lease = leases[place]
    lease.free = lease.free - 1
    redis.call('ZADD', lease.key, now + wait + hold, id)
  end
  return GO, wait, gate and pass(gate, id) and 1 or 0
end

while position < #ARGV do
  local id, interactive, gate_place, claims, lease_places = text(), argument() == 1, argument(), {}, {}
  for i = 1, argument() do
    local place, amount = argument(), argument()
    claims[i] = {bucket = buckets[place], amount = amount}
  end
  for i = 1, argument() do
    lease_places[i] = argument()
  end
  local verdict, number, place = reserve(id, interactive, gate_place, claims, lease_places)
  local last = #answers
  answers[last + 1], answers[last + 2], answers[last + 3] = verdict, number, place
  if verdict == GO then
    for _, claim in ipairs(claims) do
      local bucket = claim.bucket
      answers[#answers + 1] = math.floor(math.max(bucket.then_left, 0) + bucket.corrected)
    end
  end
end

for _, bucket in ipairs(buckets) do
  if bucket.taken then
    write(bucket)
    if bucket.interactive then
      redis.call('HSET', bucket.key, 'interactive_at', now)
    end
  end
end
return answers
