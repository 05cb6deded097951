#!lua flags=allow-oom
-- Answers a batch of requests, one after the other, as `_record.decide` does.
--
-- KEYS: the epoch; then, for each request, its record and its exact set.
-- ARGV: the lease in microseconds; when memory counts as lost ('', 'missing' or 'restart'); then,
--       for each request, its verb and what belongs to it.
-- Reply: the clock, then one answer for each request.
--
-- A record is eight numbers and two texts in one string: a hash of ten fields takes twice the time
-- and twice the memory. Whose `till` is 0 is not held, whoever `owner` was. When memory is short it
-- goes on: records are small, and a lock must be given back. Moments are microseconds, which a
-- double counts exactly until the year 2255.

local NONE = -9007199254740992
local NOTHING = -9007199254740991
local FOREVER = 9007199254740991
local FORMAT = '>ddddddddBc0Bc0'
local OPEN_AND_TILL = 48 -- bytes before these two

local GRANTED, EARLY, LATE, RAN, SUPERSEDED, HELD = 0, 1, 2, 3, 4, 5
local LOST, RECOVERING, BROKEN = 6, 7, 8
local ALONE, SAME_OCCURRENCE, BEHIND_REDELIVERY = 0, 1, 2
local EXCLUSIVE, EXACT, REDELIVER, TENTATIVE = 1, 2, 4, 8

local KEYS, ARGV, call, max = KEYS, ARGV, redis.call, math.max
local pack, unpack, tonumber = struct.pack, struct.unpack, tonumber
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local ttl = tonumber(ARGV[1])
local epoch

-- When this store began to remember: after it lost its memory that is later than it was.
local function born()
  if epoch then
    return epoch
  end
  epoch = NOTHING
  if ARGV[2] ~= '' then
    local known = call('HMGET', KEYS[1], 'at', 'run')
    local run = known[2]
    if ARGV[2] == 'restart' or not run then
      run = string.match(call('INFO', 'server'), 'run_id:(%w+)') or ''
    end
    epoch = known[2] == run and tonumber(known[1]) or now
    if epoch == now then
      call('HSET', KEYS[1], 'at', now, 'run', run)
    end
  end
  return epoch
end

local function parse(value)
  if value == '' then
    return {fence = 0, watermark = NONE, floor = NONE, number = 0, last_due = NONE, forget_at = 0,
      open = NONE, till = 0, owner = '', last = '', previous = ''}
  end
  -- A table that is made at once takes half the time of one that grows.
  local fence, watermark, floor, number, last_due, forget_at, open, till, owner, last, at =
    unpack(FORMAT, value)
  return {fence = fence, watermark = watermark, floor = floor, number = number,
    last_due = last_due, forget_at = forget_at, open = open, till = till, owner = owner, last = last,
    previous = at <= #value and string.sub(value, at) or ''}
end

local function load(key)
  local value = call('GET', key) or ''
  return parse(value), value
end

-- A second longer than it counts, so that it is the record that says when it is over.
local function expiry_of(moment)
  return math.ceil(moment / 1000) + 1000
end

local function keep_until(key, moment)
  call('PEXPIREAT', key, expiry_of(moment))
end

local function save(key, set, s)
  local value = pack(FORMAT, s.fence, s.watermark, s.floor, s.number, s.last_due,
    s.forget_at, s.open, s.till, #s.owner, s.owner, #s.last, s.last) .. s.previous
  local moment = max(s.forget_at, s.till)
  call('SET', key, value, 'PXAT', expiry_of(moment))
  if s.floor ~= NONE then
    keep_until(set, moment)
  end
end

-- Past its retention a record counts no more, but for its fence.
local function forget(s)
  local busy = s.till > now
  if busy or s.forget_at >= now then
    return busy, false
  end
  local had_set = s.floor ~= NONE
  s.watermark, s.floor, s.open, s.number = NONE, NONE, NONE, 0
  s.owner, s.till, s.forget_at = '', 0, 0
  return false, had_set
end

local function grant(key, set, s, ask, due, number, forgets, fence)
  local newest, added
  s.fence = fence or max(s.fence + 1, now)
  if due then
    if ask.exact and s.floor == NONE then
      s.floor = s.watermark == NONE and NOTHING or s.watermark
    end
    if s.floor ~= NONE and not forgets then
      newest = call('ZREVRANGEBYSCORE', set, now - ask.keep, '-inf', 'LIMIT', 0, 1)[1]
      if newest then
        s.floor = max(s.floor, tonumber(newest))
      end
    end
    if s.watermark == NONE or due > s.watermark then
      s.watermark = due
    end
    if ask.exclusive then
      s.open, s.number = due, number
    end
  end
  if ask.exclusive then
    s.owner, s.till = ask.attempt, now + ttl
  end
  s.last, s.last_due = ask.attempt, due or NONE
  s.forget_at = math.min(max(s.forget_at, now + ask.keep), FOREVER)
  if forgets then
    call('DEL', set)
  end
  if newest then
    call('ZREMRANGEBYSCORE', set, '-inf', newest)
  end
  -- One that was delivered before is a member, but where most of several stores have settled it.
  if due and s.floor ~= NONE and due > s.floor and call('ZADD', set, due, due) == 1 then
    added = due
  end
  s.previous = ask.before and pack('>d', added or NONE) .. ask.before or ''
  save(key, set, s)
  return {GRANTED, due or false, s.fence, number}
end

local function decide(key, set, ask)
  local s, value = load(key)
  local due = ask.due
  if s.last == ask.attempt and (s.till ~= 0 and s.owner == s.last or not ask.exclusive) then
    if s.till ~= 0 and s.owner == s.last then
      s.till = now + ttl
      save(key, set, s)
    end
    local is_open = s.last_due ~= NONE and s.last_due == s.open
    return {GRANTED, s.last_due ~= NONE and s.last_due, s.fence, is_open and s.number or 1}
  end
  local rival
  if ask.tentative then
    rival = s.last
    ask.before = string.sub(value, 1, #value - #s.previous)
  end
  local busy, forgets = forget(s)
  if due and due <= born() then
    return {LOST, born()}
  end
  if now < born() + ttl then
    return {RECOVERING, born() + ttl - now}
  end
  if ask.redeliver and due and s.open ~= NONE and not busy then
    if s.open >= now - ask.late then
      -- Nobody lives who could complete it.
      return grant(key, set, s, ask, s.open, s.number + 1, forgets)
    end
    s.open = NONE
  end
  if due then
    if due > now then
      return {EARLY}
    end
    if due < now - ask.late then
      return {LATE}
    end
    if busy and ask.redeliver and due == s.open then
      return {HELD, s.till - now, SAME_OCCURRENCE, rival}
    end
    if s.watermark ~= NONE and due <= s.watermark then
      local has_set = s.floor ~= NONE
      if due == s.watermark or has_set and (due == s.floor or call('ZSCORE', set, due)) then
        return {RAN, rival}
      end
      if not (ask.exact and has_set and due > s.floor) then
        return {SUPERSEDED, s.watermark, rival}
      end
    end
  end
  if busy and ask.exclusive then
    local behind = ask.redeliver and due and s.open ~= NONE and s.number > 1
    return {HELD, s.till - now, behind and BEHIND_REDELIVERY or ALONE, rival}
  end
  return grant(key, set, s, ask, due, 1, forgets)
end

-- Take back an attempt's grant that came to nothing. What was dropped from the set stays dropped.
local function restore(set, s)
  local added, at = unpack('>d', s.previous)
  local before = parse(string.sub(s.previous, at))
  if added ~= NONE then
    call('ZREM', set, added)
  end
  if before.floor == NONE then
    call('DEL', set)
  else
    before.floor = max(before.floor, s.floor)
  end
  before.fence = max(before.fence, s.fence)
  return before
end

local kinds = {} -- of claims, by the text of their flags

local function kind_of(text)
  local flags = tonumber(text)
  local kind = {
    exclusive = bit.band(flags, EXCLUSIVE) ~= 0,
    exact = bit.band(flags, EXACT) ~= 0,
    redeliver = bit.band(flags, REDELIVER) ~= 0,
    tentative = bit.band(flags, TENTATIVE) ~= 0,
  }
  kinds[text] = kind
  return kind
end

local function read_ask(at)
  local late, keep, flags = tonumber(ARGV[at + 3]), tonumber(ARGV[at + 4]), ARGV[at + 5]
  local kind = kinds[flags] or kind_of(flags)
  return {
    attempt = ARGV[at + 1],
    due = tonumber(ARGV[at + 2]),
    late = late,
    keep = max(late, keep),
    exclusive = kind.exclusive,
    exact = kind.exact,
    redeliver = kind.redeliver,
    tentative = kind.tentative,
  }
end

local arguments = {ask = 6, settle = 9, undo = 2, over = 3, release = 4, renew = 2, look = 1, evict = 1}
local verbs = {}

-- attempt, due, late, keep, flags
function verbs.ask(key, set, at)
  return decide(key, set, read_ask(at))
end

-- The same; then occurrence, number and fence, as most stores have granted it.
function verbs.settle(key, set, at)
  local s, ask = load(key), read_ask(at)
  if s.last ~= ask.attempt or s.previous == '' then
    return 0
  end
  local fence = max(s.fence, tonumber(ARGV[at + 8]))
  ask.before = string.sub(s.previous, 9)
  s = restore(set, s)
  local _, forgets = forget(s)
  grant(key, set, s, ask, tonumber(ARGV[at + 6]), tonumber(ARGV[at + 7]), forgets, fence)
  return 1
end

-- attempt
function verbs.undo(key, set, at)
  local s = load(key)
  if s.last ~= ARGV[at + 1] or s.previous == '' then
    return 0
  end
  save(key, set, restore(set, s))
  return 1
end

-- attempt, due: was it claimed here before this attempt, and is it open no longer?
function verbs.over(key, set, at)
  local s, due = load(key), tonumber(ARGV[at + 2])
  if s.last == ARGV[at + 1] and s.previous ~= '' then
    local _, before = unpack('>d', s.previous)
    s = parse(string.sub(s.previous, before))
  end
  if s.open == due or s.watermark == NONE or due > s.watermark then
    return 0
  end
  local is_member = s.floor == NONE or due <= s.floor or call('ZSCORE', set, due)
  return is_member and 1 or 0
end

-- attempt, due, done
function verbs.release(key, _, at)
  local value, attempt, due = call('GET', key), ARGV[at + 1], tonumber(ARGV[at + 2])
  if not value then
    return 0
  end
  local open, till, owner = unpack('>ddBc0', value, OPEN_AND_TILL + 1)
  if owner ~= attempt then
    return 0
  end
  if till == 0 then
    return 1 -- it was given back before, and the answer was lost
  end
  if ARGV[at + 3] == '1' and due and open == due then
    open = NONE
  end
  call('SETRANGE', key, OPEN_AND_TILL, pack('>dd', open, 0))
  return till > now and 1 or 0
end

-- attempt
function verbs.renew(key, set, at)
  local value = call('GET', key)
  if not value then
    return 0
  end
  local forget_at, open, till, owner = unpack('>dddBc0', value, OPEN_AND_TILL - 7)
  if owner ~= ARGV[at + 1] or till <= now then
    return 0
  end
  till = now + ttl
  call('SETRANGE', key, OPEN_AND_TILL, pack('>dd', open, till))
  if till > forget_at then
    keep_until(key, till)
    keep_until(set, till)
  end
  return 1
end

-- nothing
function verbs.evict(key, set)
  local s = load(key)
  if s.till <= now then
    return 0
  end
  s.owner, s.till = '', 0 -- no attempt is called so: the holder is told that it is not his
  save(key, set, s)
  return 1
end

-- nothing
function verbs.look(key)
  local s = load(key)
  forget(s)
  return s.watermark ~= NONE and s.watermark
end

local reply, at = {now}, 3
for place = 2, #KEYS, 2 do
  local verb = ARGV[at]
  local worked, answer = pcall(verbs[verb], KEYS[place], KEYS[place + 1], at)
  if not worked then
    -- One key that holds something else must not harm the rest of the batch.
    answer = {BROKEN, type(answer) == 'table' and answer.err or tostring(answer)}
  end
  reply[#reply + 1] = answer
  at = at + arguments[verb]
end
return reply
