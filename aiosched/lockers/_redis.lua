#!lua flags=allow-oom
-- Answers a batch of requests, one after the other, as `_record.decide` does.
--
-- KEYS: the epoch; then, for each request, its record and its exact set.
-- ARGV: the lease in microseconds; when memory counts as lost ('', 'missing' or 'restart'); then,
--       for each request, its verb and what belongs to it.
-- Reply: the clock, then one answer for each request.
--
-- Without memory to spare it goes on, as records are small and a lock must be given back.
-- Moments are microseconds, which a double counts exactly until the year 2255.

local NOTHING = -9007199254740991
local FOREVER = 9007199254740991

local GRANTED, EARLY, LATE, RAN, SUPERSEDED, HELD = 0, 1, 2, 3, 4, 5
local LOST, RECOVERING, BROKEN = 6, 7, 8
local ALONE, SAME_OCCURRENCE, BEHIND_REDELIVERY = 0, 1, 2

local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local ttl = tonumber(ARGV[1])
local epoch

-- When this store began to remember; a later moment than the last time means that it forgot.
local function born()
  if epoch then
    return epoch
  end
  epoch = NOTHING
  if ARGV[2] ~= '' then
    local known = redis.call('HMGET', KEYS[1], 'at', 'run')
    local run = ''
    if ARGV[2] == 'restart' or not known[1] then
      run = string.match(redis.call('INFO', 'server'), 'run_id:(%w+)') or ''
    end
    if known[1] and (ARGV[2] ~= 'restart' or known[2] == run) then
      epoch = tonumber(known[1])
    else
      epoch = now
      redis.call('HSET', KEYS[1], 'at', now, 'run', run)
    end
  end
  return epoch
end

local function load(key)
  local r = redis.call('HMGET', key, 't', 'w', 'l', 'd', 'n', 'o', 'u', 'a', 'e', 'g', 'p')
  return {
    key = key,
    fence = tonumber(r[1]) or 0,
    watermark = tonumber(r[2]),
    floor = tonumber(r[3]),
    open = tonumber(r[4]),
    number = tonumber(r[5]) or 0,
    owner = r[6] ~= '' and r[6] or nil,
    till = tonumber(r[7]) or 0,
    last = r[8] ~= '' and r[8] or nil,
    last_due = tonumber(r[9]),
    forget_at = tonumber(r[10]) or 0,
    packed = r[11] ~= '' and r[11] or nil,
  }
end

-- A second longer than it counts, so that the record itself says when it is over.
local function keep_until(key, moment)
  redis.call('PEXPIREAT', key, math.ceil(moment / 1000) + 1000)
end

local function save(s, set)
  redis.call('HSET', s.key, 't', s.fence, 'w', s.watermark or '', 'l', s.floor or '',
    'd', s.open or '', 'n', s.number, 'o', s.owner or '', 'u', s.till, 'a', s.last or '',
    'e', s.last_due or '', 'g', s.forget_at)
  if s.packed ~= nil then
    redis.call('HSET', s.key, 'p', s.packed)
  end
  local moment = math.max(s.forget_at, s.owner and s.till or 0)
  keep_until(s.key, moment)
  if s.floor then
    keep_until(set, moment)
  end
end

-- What an attempt of which nothing comes has to leave behind.
local function pack(s)
  return {s.watermark or false, s.floor or false, s.open or false, s.number, s.owner or false,
    s.till, s.last or false, s.last_due or false, s.forget_at, false}
end

local function restore(s, set)
  local p = cmsgpack.unpack(s.packed)
  if p[10] then
    redis.call('ZREM', set, p[10])
  end
  if not p[2] then
    redis.call('DEL', set)
    s.floor = nil
  end -- else it stays where it is: what was dropped below it does not come back
  s.watermark, s.open, s.number, s.owner = p[1] or nil, p[3] or nil, p[4], p[5] or nil
  s.till, s.last, s.last_due, s.forget_at = p[6], p[7] or nil, p[8] or nil, p[9]
  s.packed = ''
end

-- Past its retention the record counts no more, but for its fence.
local function forget(s)
  local busy = s.owner and s.till > now
  if busy or s.forget_at >= now then
    return busy, false
  end
  local had_set = s.floor ~= nil
  s.watermark, s.floor, s.open, s.owner = nil, nil, nil, nil
  s.number, s.till, s.forget_at = 0, 0, 0
  return false, had_set
end

local function grant(s, set, ask, due, number, forgets, fence)
  local newest
  s.fence = fence or math.max(s.fence + 1, now)
  if due then
    if ask.exact and not s.floor then
      s.floor = s.watermark or NOTHING
    end
    if s.floor and not forgets then
      newest = redis.call('ZREVRANGEBYSCORE', set, now - ask.keep, '-inf', 'LIMIT', 0, 1)[1]
      if newest then
        s.floor = math.max(s.floor, tonumber(newest))
      end
    end
    if not s.watermark or due > s.watermark then
      s.watermark = due
    end
    if ask.exclusive then
      s.open, s.number = due, number
    end
  end
  if ask.exclusive then
    s.owner, s.till = ask.attempt, now + ttl
  end
  s.last, s.last_due = ask.attempt, due
  s.forget_at = math.min(math.max(s.forget_at, now + ask.keep), FOREVER)
  if forgets then
    redis.call('DEL', set)
  end
  if newest then
    redis.call('ZREMRANGEBYSCORE', set, '-inf', newest)
  end
  if due and s.floor and due > s.floor and number == 1 then
    redis.call('ZADD', set, due, due)
    if ask.previous then
      ask.previous[10] = due
    end
  end
  s.packed = ask.previous and cmsgpack.pack(ask.previous)
  save(s, set)
  return {GRANTED, due or false, s.fence, number}
end

local function decide(s, set, ask)
  local due = ask.due
  if s.last == ask.attempt and (s.owner == ask.attempt or not ask.exclusive) then
    if s.owner == ask.attempt then
      s.till = now + ttl
      s.packed = nil
      save(s, set)
    end
    local is_open = s.last_due and s.last_due == s.open
    return {GRANTED, s.last_due or false, s.fence, is_open and s.number or 1}
  end
  ask.previous = ask.tentative and pack(s) or nil
  local busy, forgets = forget(s)
  local rival = ask.tentative and s.last or nil
  if due and due <= born() then
    return {LOST, born()}
  end
  if now < born() + ttl then
    return {RECOVERING, born() + ttl - now}
  end
  if ask.redeliver and due and s.open and not busy then
    if s.open >= now - ask.late then
      return grant(s, set, ask, s.open, s.number + 1, forgets)
    end
    s.open = nil
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
    if s.watermark and due <= s.watermark then
      if due == s.watermark or due == s.floor or (s.floor and redis.call('ZSCORE', set, due)) then
        return {RAN, rival}
      end
      if not (ask.exact and s.floor and due > s.floor) then
        return {SUPERSEDED, s.watermark, rival}
      end
    end
  end
  if busy and ask.exclusive then
    local behind = ask.redeliver and due and s.open and s.number > 1
    return {HELD, s.till - now, behind and BEHIND_REDELIVERY or ALONE, rival}
  end
  return grant(s, set, ask, due, 1, forgets)
end

local verbs = {}

local function read_ask(at)
  local flags = tonumber(ARGV[at + 5])
  local late, keep = tonumber(ARGV[at + 3]), tonumber(ARGV[at + 4])
  return {
    attempt = ARGV[at + 1],
    due = tonumber(ARGV[at + 2]),
    late = late,
    keep = math.max(late, keep),
    exclusive = bit.band(flags, 1) ~= 0,
    exact = bit.band(flags, 2) ~= 0,
    redeliver = bit.band(flags, 4) ~= 0,
    tentative = bit.band(flags, 8) ~= 0,
  }
end

-- attempt, due, late, keep, flags
verbs.a = {6, function(key, set, at)
  return decide(load(key), set, read_ask(at))
end}

-- The same, then occurrence, number and fence, as most stores have granted it.
verbs.s = {9, function(key, set, at)
  local s, ask = load(key), read_ask(at)
  if s.last ~= ask.attempt or not s.packed then
    return 0
  end
  local fence = math.max(s.fence, tonumber(ARGV[at + 8]))
  restore(s, set)
  ask.previous = pack(s)
  local _, forgets = forget(s)
  grant(s, set, ask, tonumber(ARGV[at + 6]), tonumber(ARGV[at + 7]), forgets, fence)
  return 1
end}

-- attempt
verbs.u = {2, function(key, set, at)
  local s = load(key)
  if s.last ~= ARGV[at + 1] or not s.packed then
    return 0
  end
  restore(s, set)
  save(s, set)
  return 1
end}

-- attempt, due, done
verbs.r = {4, function(key, set, at)
  local attempt, due = ARGV[at + 1], tonumber(ARGV[at + 2])
  local r = redis.call('HMGET', key, 'o', 'u', 'd', 'a')
  if r[1] ~= attempt then
    -- An answer that was lost: it was given back by the same request before.
    return r[1] == '' and r[4] == attempt and 1 or 0
  end
  redis.call('HSET', key, 'o', '')
  if ARGV[at + 3] == '1' and due and due == tonumber(r[3]) then
    redis.call('HSET', key, 'd', '')
  end
  return tonumber(r[2]) > now and 1 or 0
end}

-- attempt
verbs.n = {2, function(key, set, at)
  local r = redis.call('HMGET', key, 'o', 'u', 'g')
  if r[1] ~= ARGV[at + 1] or tonumber(r[2]) <= now then
    return 0
  end
  redis.call('HSET', key, 'u', now + ttl)
  if now + ttl > tonumber(r[3]) then
    keep_until(key, now + ttl)
    keep_until(set, now + ttl)
  end
  return 1
end}

-- nothing
verbs.l = {1, function(key)
  local s = load(key)
  forget(s)
  return s.watermark or false
end}

local reply, at = {now}, 3
for place = 2, #KEYS, 2 do
  local arguments, answer = unpack(verbs[ARGV[at]])
  local worked, result = pcall(answer, KEYS[place], KEYS[place + 1], at)
  if not worked then
    -- One key that holds something else must not harm the rest of the batch.
    result = {BROKEN, type(result) == 'table' and result.err or tostring(result)}
  end
  reply[#reply + 1] = result
  at = at + arguments
end
return reply
