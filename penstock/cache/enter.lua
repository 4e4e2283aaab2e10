-- Looks for an answer, and takes the lead of making it where nobody has it.
--
-- KEYS[1] STRING: the entry, 13 digits of ms since 1970 and the packed answer
-- KEYS[2] STRING: who makes the answer now: a token, or "-" where the last one who did came to none that is kept
-- ARGV[1] token of the caller
-- ARGV[2] ms for which the lead lasts unless it is renewed
-- ARGV[3] ms since 1970 of the oldest entry that will do
--
-- Answers the entry; or 1: the caller leads; 0: another does; -1: go alone.
local entry = redis.call('GET', KEYS[1])
if entry and tonumber(string.sub(entry, 1, 13)) >= tonumber(ARGV[3]) then
  return entry
end
if redis.call('SET', KEYS[2], ARGV[1], 'NX', 'PX', ARGV[2]) then
  return 1
end
local leader = redis.call('GET', KEYS[2])
if leader == '-' then
  return -1
end
if leader == ARGV[1] then
  return 1
end
return 0
