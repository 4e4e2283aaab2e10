-- Renews a lead.
--
-- KEYS[1] STRING: who makes the answer now
-- ARGV[1] token of the caller
-- ARGV[2] ms for which the lead lasts from now on
--
-- Answers 1, or 0 where the caller leads no more.
if redis.call('GET', KEYS[1]) == ARGV[1] then
  return redis.call('PEXPIRE', KEYS[1], ARGV[2])
end
return 0
