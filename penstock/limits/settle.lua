-- The ends of calls: real usage in the place of estimates, places given back, what each call says of its gate, and what
-- the provider's own headers say of its buckets.
--
-- KEYS  the sender's last batch (STRING penstock:settled:<sender>, forgotten after an idle hour)
--       then the buckets, the leases, the gates, each once
-- ARGV  number of this batch: a sender counts up from 1 and sends the next one only when this one was answered
--       how many buckets, leases, gates
--       for each bucket:  rate per ms, capacity, what is given back, what is taken, and what the provider says is left
--                         (-1 when it does not say)
--       for each lease:   how many ids, the ids
--       for each gate:    failures that open it, probes that close it, ms it stays open
--                         how many calls, for each: its id, its outcome, how many ms ago it began
-- An outcome is 1 (the provider answered), 0 (it failed) or -1 (it was not seen: the call was never made, or given up).
-- Answers for each gate for how many ms it is shut now, 0 when it is not.
-- A batch that comes twice, because its answer was lost, counts once. An unknown bucket stays unknown.

local OK, FAULT = 1, 0
-- what others use is learnt from two counts at least so far apart, as a mean over about the last LEARN_MS
local APART_MS, LEARN_MS = 500, 2000
-- so much of a bucket's rate is never given up to others, or nothing would be sent that could show they are gone
local LEAST_SHARE = 0.1

local batch = argument()
local counts = {argument(), argument(), argument()}
local repeated = batch <= tonumber(redis.call('GET', KEYS[1]) or 0)

-- The provider says that `left` is left. Where that is less than we think it has, somebody else took the difference,
-- or it charged more than we did: the bucket follows at once. What is reserved ahead and not sent yet is a debt (a
-- level below 0) that the provider does not know of. From one count to the next, what is missing beside our own use is
-- what others use per ms. Where more is left than the bucket was known to hold, it holds that much.
local function correct(bucket, left)
  local stored = redis.call('HMGET', bucket.key, 'seen_at', 'seen_left', 'seen_used')
  local used = bucket.used + math.min(bucket.level, 0)
  local seen_at = tonumber(stored[1])
  if left > bucket.room and bucket.room < bucket.capacity then
    local more = math.min(left, bucket.capacity) - bucket.room
    bucket.level, bucket.room = bucket.level + more, bucket.room + more
    redis.call('HSET', bucket.key, 'room', bucket.room)
  end
  bucket.level = math.min(bucket.level, left)
  if seen_at and now - seen_at < APART_MS then
    return
  end
  if seen_at and now - seen_at < OTHERS_HOLD then
    local passed = now - seen_at
    local expected = math.min(stored[2] + bucket.full_rate * passed, bucket.room) - (used - stored[3])
    local sample = (expected - left) / passed
    local weight = math.min(passed / LEARN_MS, 1)
    local others = bucket.others + weight * (sample - bucket.others)
    redis.call('HSET', bucket.key, 'others', math.max(math.min(others, bucket.full_rate * (1 - LEAST_SHARE)), 0))
  end
  redis.call('HSET', bucket.key, 'seen_at', now, 'seen_left', left, 'seen_used', used)
end

for place = 2, counts[1] + 1 do
  local rate, capacity, given_back, taken, left = argument(), argument(), argument(), argument(), argument()
  local bucket = read(KEYS[place], rate, capacity)
  if bucket.level and not repeated then
    -- In this order, so that what the capacity cuts off cannot pay for what was taken.
    bucket.level = math.min(bucket.level + given_back, bucket.room) - taken
    bucket.used = bucket.used + taken - given_back
    if left >= 0 then
      correct(bucket, left)
    end
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
