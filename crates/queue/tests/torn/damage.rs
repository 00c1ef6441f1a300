//! The damage that torn files cause to jobs: creates it, and detects it.

use tidegate_queue::JobId;

use crate::fixture::Fixture;

/// Removes jobs from all lists.
const LOSE: &str = "
local front = ARGV[1]
for at = 2, #ARGV do
  local id = ARGV[at]
  redis.call('LREM', front .. 'done', 0, id)
  for level = 0, 4 do
    redis.call('LREM', front .. 'ready:' .. level, 0, id)
  end
  for _, set in ipairs({ 'back', 'delayed', 'waiting', 'behind' }) do
    for _, member in ipairs(redis.call('ZRANGE', front .. set, 0, -1)) do
      if string.sub(member, -#id - 1) == '.' .. id then
        redis.call('ZREM', front .. set, member)
      end
    end
  end
end";

/// Adds an entry to each list and to each other collection for a job without a record. Ends the
/// active job of an ordering key without removing it from the key.
const LEAVE: &str = "
local front, active, now = ARGV[1], ARGV[2], ARGV[3]
local member = '000000000090.2.nobody'
for _, set in ipairs({ 'back', 'delayed', 'waiting' }) do
  redis.call('ZADD', front .. set, 2 * 281474976710656, member)
end
redis.call('ZADD', front .. 'behind', 0, 'one 1.2.line\\0' .. member)
redis.call('HSET', front .. 'lines', 'another 1.2.line', 'nobody')
redis.call('HSET', front .. 'ended', 'nobody', now .. ' 1 nonce')
for _, set in ipairs({ 'dead', 'cancelled' }) do
  redis.call('ZADD', front .. set, now, 'nobody')
end
for _, kept in ipairs({ 'latest', 'result', 'checkpoint' }) do
  redis.call('HSET', front .. kept, 'nobody', '1 -')
end
redis.call('HSET', front .. 'state', 'nobody', cmsgpack.pack({ failures = 2 }))
redis.call('HSET', front .. 'log', 'nobody', 2, 'nobody#0', now .. ' 1 one', 'nobody#1', now .. ' 1 two')
redis.call('HSET', front .. 'ended', active, now .. ' 1 nonce')
redis.call('RPUSH', front .. 'done', active)
redis.call('HDEL', front .. 'lease', active)";

/// Returns the inconsistencies: records without an entry, and entries without a record. An element
/// of a list may lack a record: it is skipped when it is next.
const HALVES: &str = "
local front = ARGV[1]
local halves, placed = {}, {}
local function call(command, part, ...)
  return redis.call(command, front .. part, ...)
end
local function entry(part, id)
  placed[id] = true
  if call('HEXISTS', 'job', id) == 0 then
    halves[#halves + 1] = id .. ' in ' .. part .. ' has no record'
  end
end
local function entries(sets)
  for _, set in ipairs(sets) do
    for _, member in ipairs(call('ZRANGE', set, 0, -1)) do
      entry(set, string.match(member, '%d+%.%d%.([^%z]+)$'))
    end
  end
end
entries({ 'back', 'delayed', 'waiting' })
for _, set in ipairs({ 'dead', 'cancelled' }) do
  for _, id in ipairs(call('ZRANGE', set, 0, -1)) do
    entry(set, id)
  end
end
for _, id in ipairs(call('HKEYS', 'lease')) do
  if id ~= '' then
    entry('lease', id)
  end
end
for _, id in ipairs(call('HKEYS', 'ended')) do
  entry('ended', id)
  if not call('LPOS', 'done', id) then
    halves[#halves + 1] = id .. ' is done and not listed'
  end
end
for level = 0, 4 do
  for _, id in ipairs(call('LRANGE', 'ready:' .. level, 0, -1)) do
    -- A fetch skips those that were leased before.
    if call('HEXISTS', 'tomb', id) == 0 and call('HEXISTS', 'latest', id) == 0 then
      placed[id] = true
    end
  end
end
for _, id in ipairs(call('HKEYS', 'job')) do
  if not placed[id] then
    halves[#halves + 1] = id .. ' has no place'
  end
end
entries({ 'behind' })
for _, id in ipairs(call('HVALS', 'lines')) do
  entry('lines', id)
end
for _, kept in ipairs({ 'latest', 'state', 'result', 'checkpoint', 'log' }) do
  for _, field in ipairs(call('HKEYS', kept)) do
    entry(kept, string.match(field, '^[^#]+'))
  end
end
return table.concat(halves, ', ')";

impl Fixture {
    /// Removes a job from each kind of list.
    pub async fn lose_places(&self) {
        let front = self.front();
        let ids = ["new-1", "back", "late-1", "line-2", "done"].map(|name| self.id(name));
        let ids = ids.iter().map(JobId::as_str);
        let args: Vec<&str> = ["EVAL", LOSE, "0", &front].into_iter().chain(ids).collect();
        self.server.cli(&args).await;
        assert_eq!(self.halves().await.matches("has no place").count(), 4);
    }

    /// Adds entries of a job without a record, and keeps the ordering key of a job that is done.
    pub async fn leave_entries(&self) {
        let now = self.bench.now().unix_ms().to_string();
        self.server.cli(&["EVAL", LEAVE, "0", &self.front(), self.id("line-1").as_str(), &now]).await;
        assert_eq!(self.halves().await.matches("has no record").count(), 15);
    }

    pub async fn assert_whole(&self, case: &str) {
        assert_eq!(self.halves().await, "", "{case}");
    }

    async fn halves(&self) -> String {
        self.server.cli(&["EVAL", HALVES, "0", &self.front()]).await
    }
}
