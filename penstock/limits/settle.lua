-- The ends of calls: real usage in the place of estimates, places given back, what each call says of its gate, and what
-- the provider's own headers say of its buckets.
--
-- KEYS  the sender's last batch (STRING penstock:settled:<sender>, forgotten after an idle hour)
--       then the buckets, the leases, the gates, each once
-- ARGV  number of this batch: a sender counts up from 1 and sends the next one only when this one was answered
--       how many buckets, leases, gates
--       for each bucket:  rate per ms, capacity, what is given back, what is taken, what was under way and has ended
--                         how many times the provider said what is left, for each: what it said, and what reserve.lua
--                         had answered for that call (-1 where it was said as the call began)
--       for each lease:   how many ids, the ids
--       for each gate:    failures that open it, probes that close it, ms it stays open
--                         how many calls, for each: its id, its outcome, how many ms ago it began
-- An outcome is 1 (the provider answered), 0 (it failed) or -1 (it was not seen: the call was never made, or given up).
-- Answers for each gate for how many ms it is shut now, 0 when it is not.
-- A batch that comes twice, because its answer was lost, counts once. An unknown bucket stays unknown.

local OK, FAULT = 1, 0
-- what others use is learnt from corrections over at least so many ms
local LEARN_MS = 300
-- and by no more than this share of the rate at a time: at the end of a burst much is corrected that does not go on
local LEARN_STEP = 0.2
-- so much of a bucket's rate is never given up to others, or nothing would be sent that could show they are gone
local LEAST_SHARE = 0.1

local batch = argument()
local counts = {argument(), argument(), argument()}
local repeated = batch <= tonumber(redis.call('GET', KEYS[1]) or 0)

-- How far our bucket is above what the provider says. It should have our level and what is reserved ahead and not sent
-- yet. Some providers count when a call begins and some when it ends, and none says which: of the two, what we expected
-- then and what we expect now, the nearer is meant. They may or may not have charged the calls under way, so being below
-- counts only beyond those.
local function excess(bucket, left, expected_then)
  local expected = bucket.level + bucket.ahead
  if expected_then >= 0 then
    expected_then = expected_then - bucket.corrected
    if math.abs(expected_then - left) < math.abs(expected - left) then
      expected = expected_then
    end
  end
  if left < expected then
    return expected - left
  end
  return math.min(expected + math.max(bucket.under_way - bucket.ahead, 0) - left, 0)
end

-- The provider says how much is left, and it knows: our bucket follows. Where more is left than the bucket was known to
-- hold, it holds that much. Corrections that go on while we send as fast as we may are what others use, or what the
-- provider charges more than we know; those to the other side say that it is less than we thought.
local function follow(bucket, left, expected_then)
  local limited = bucket.ahead > 0
  if left > bucket.room and bucket.room < bucket.capacity then
    bucket.level = bucket.level + math.min(left, bucket.capacity) - bucket.room
    bucket.room = math.min(left, bucket.capacity)
    redis.call('HSET', bucket.key, 'room', bucket.room)
  end
  local correction = excess(bucket, left, expected_then)
  bucket.level = math.min(bucket.level - correction, bucket.room)
  bucket.corrected = bucket.corrected + correction
  if limited or correction < 0 then
    bucket.drift = bucket.drift + correction
  end
end

local function learn(bucket)
  local passed = now - (bucket.drift_at or 0)
  if bucket.drift_at and passed < LEARN_MS then
    redis.call('HSET', bucket.key, 'drift', bucket.drift)
    return
  end
  local others = 0
  if bucket.drift_at and passed < OTHERS_HOLD + OTHERS_FADE then
    local step = bucket.full_rate * LEARN_STEP
    others = bucket.others + math.max(math.min(bucket.drift / passed, step), -step)
  end
  others = math.max(math.min(others, bucket.full_rate * (1 - LEAST_SHARE)), 0)
  redis.call('HSET', bucket.key, 'others', others, 'drift', 0, 'drift_at', now)
end

for place = 2, counts[1] + 1 do
  local rate, capacity, given_back, taken, ended = argument(), argument(), argument(), argument(), argument()
  local bucket, told = read(KEYS[place], rate, capacity), argument()
  local counted = bucket.level and not repeated
  if counted then
    -- In this order, so that what the capacity cuts off cannot pay for what was taken.
    bucket.level = math.min(bucket.level + given_back, bucket.room) - taken
    bucket.under_way = math.max(bucket.under_way - ended, 0)
    bucket.drift = told > 0 and tonumber(redis.call('HGET', bucket.key, 'drift') or 0)
  end
  for _ = 1, told do
    local left, expected_then = argument(), argument()
    if counted then
      follow(bucket, left, expected_then)
    end
  end
  if counted and told > 0 then
    learn(bucket)
    redis.call('HSET', bucket.key, 'told_at', now, 'corrected', bucket.corrected)
  end
  if counted then
    write(bucket)
  end
end

for place = counts[1] + 2, counts[1] + counts[2] + 1 do
  for _ = 1, argument() do
    redis.call('ZREM', KEYS[place], text())
  end
end

local function open(gate)
  local fields = redis.call('HKEYS', gate.key)
  for _, field in ipairs(fields) do
    if string.sub(field, 1, 6) == 'probe:' then
      redis.call('HDEL', gate.key, field)
    end
  end
  gate.state, gate.since = 'open', now
  redis.call('HDEL', gate.key, 'failed', 'succeeded')
  redis.call('HSET', gate.key, 'state', 'open', 'since', now)
  transition(gate, 'open')
end

local function close(gate)
  gate.state, gate.failed = 'closed', {}
  redis.call('HDEL', gate.key, 'state', 'since', 'succeeded', 'failed')
  transition(gate, 'closed')
end

-- A success makes good the failures before it began, and no later one: the calls that were under way when a provider
-- died end well for a while, and say nothing of those that came after.
local function closed_outcome(gate, outcome, began)
  if outcome == FAULT then
    gate.failed[#gate.failed + 1] = now
    if #gate.failed >= gate.threshold then
      return open(gate)
    end
  elseif outcome == OK and #gate.failed > 0 then
    local standing = {}
    for _, at in ipairs(gate.failed) do
      if tonumber(at) >= began then
        standing[#standing + 1] = at
      end
    end
    gate.failed = standing
  end
end

-- While it is half open only its probes count.
local function probed(gate, id, outcome)
  if redis.call('HDEL', gate.key, 'probe:' .. id) == 0 then
    return
  end
  if outcome == FAULT then
    open(gate)
  elseif outcome == OK and redis.call('HINCRBY', gate.key, 'succeeded', 1) >= gate.probes then
    close(gate)
  end
end

local answers = {}
for place = counts[1] + counts[2] + 2, #KEYS do
  local gate = {key = KEYS[place], threshold = argument(), probes = argument(), reset = argument(), failed = {}}
  local stored = redis.call('HMGET', gate.key, 'state', 'failed', 'since')
  gate.state, gate.since = stored[1] or 'closed', tonumber(stored[3])
  for at in string.gmatch(stored[2] or '', '%S+') do
    gate.failed[#gate.failed + 1] = at
  end
  local before = stored[2] or ''
  for _ = 1, argument() do
    local id, outcome, began = text(), argument(), now - argument()
    if repeated then
      -- counted already
    elseif gate.state == 'closed' then
      closed_outcome(gate, outcome, began)
    elseif gate.state == 'half_open' then
      probed(gate, id, outcome)
    end
  end
  if gate.state == 'closed' then
    local after = table.concat(gate.failed, ' ')
    if after ~= before and after ~= '' then
      redis.call('HSET', gate.key, 'failed', after)
    elseif after ~= before then
      redis.call('HDEL', gate.key, 'failed')
    end
  end
  answers[#answers + 1] = gate.state == 'open' and math.max(math.ceil(gate.since + gate.reset - now), 0) or 0
end

redis.call('SET', KEYS[1], batch, 'EX', 3600)
return answers
