-- Reads buckets and changes nothing.
--
-- KEYS  the buckets
-- ARGV  for each key:  rate per ms, capacity
-- Answers two values for each key: level at this moment, as text (nil when unknown), and for how many ms it is paused.

local answers = {}
for _, key in ipairs(KEYS) do
  local rate, capacity = argument(), argument()
  local bucket = read(key, rate, capacity)
  answers[#answers + 1] = bucket.level and string.format('%.3f', bucket.level) or false
  answers[#answers + 1] = math.ceil(bucket.pause)
end
return answers
