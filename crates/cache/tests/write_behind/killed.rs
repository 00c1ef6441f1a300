//! Two nodes that write and flush, each a process that is ended with kill -9 again and again: no
//! value is lost or reverted, and increments add up exactly. The children are this same test
//! binary. The store is a Redis of its own, with the conditions that SQL would have.

use std::collections::HashMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tidegate_cache::{
    IncrementBatch, IncrementSink, Increments, Json, ValueSink, ValueWrite, WriteBehind, WriteBehindOptions,
};
use tidegate_redis::{Client, Command as Redis, Error, Script};
use tidegate_testkit::redis::RedisServer;
use tidegate_testkit::{Scratch, poll_until, scale};

use crate::ground::{cached, key};
use crate::redis::{durable, keyspace};

const DIRECTORY: &str = "TIDEGATE_CACHE_TEST_DIRECTORY";
const TEST: &str = "killed::two_nodes_lose_nothing_turn_nothing_back_and_count_exactly";
/// Which of all processes of the test it is: ids of processes come again.
const NUMBER: &str = "TIDEGATE_CACHE_TEST_NUMBER";
const KEYS: usize = 8;
/// Approximate size of two writes in a book.
const LINES: u64 = 95;
/// Longer than any proof runs.
const LONG: Duration = Duration::from_secs(120);

/// A store that other processes share, with the conditions that sinks must make.
struct Shared {
    client: Client,
    write: Script,
    add: Script,
}

impl Shared {
    async fn at(url: &str) -> Self {
        let write = "for i = 1, #ARGV, 3 do
              local row = redis.call('HGET', KEYS[1], ARGV[i])
              if not row or tonumber(string.match(row, '^%d+')) < tonumber(ARGV[i + 1]) then
                redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1] .. ' ' .. ARGV[i + 2])
              end
            end";
        let add = "if tonumber(redis.call('GET', KEYS[2]) or '0') >= tonumber(ARGV[1]) then return end
            redis.call('SET', KEYS[2], ARGV[1])
            for i = 2, #ARGV, 2 do redis.call('HINCRBY', KEYS[1], ARGV[i], ARGV[i + 1]) end";
        Self { client: durable(url).await, write: Script::new("write", write), add: Script::new("add", add) }
    }

    async fn hash(&self, name: &'static str) -> HashMap<String, String> {
        let fields = self.client.execute(Redis::new("HGETALL").key(name)).await.unwrap().into_map().unwrap();
        fields.into_iter().map(|(key, value)| (key.into_text().unwrap(), value.into_text().unwrap())).collect()
    }
}

/// Sometimes waits so long that another node flushes meanwhile, and that a kill comes before or
/// after the commit.
async fn dawdle(number: u64) {
    tokio::time::sleep(Duration::from_millis(number * 7 % 40)).await;
}

impl ValueSink<u64> for Shared {
    type Error = Error;

    async fn write(&self, writes: &[ValueWrite<u64>]) -> Result<(), Error> {
        dawdle(writes[0].version).await;
        let args =
            writes.iter().flat_map(|write| [write.key.as_str().into(), write.version.into(), write.value.into()]);
        self.client.run(&self.write, &["{s}:rows"], args.collect()).await?;
        dawdle(writes[0].version / 3).await;
        Ok(())
    }
}

impl IncrementSink for Shared {
    type Error = Error;

    async fn add(&self, batch: &IncrementBatch) -> Result<(), Error> {
        dawdle(batch.number).await;
        let pairs = batch.increments.iter().flat_map(|increment| [increment.key.as_str().into(), increment.by.into()]);
        let args = std::iter::once(batch.number.into()).chain(pairs).collect();
        self.client.run(&self.add, &["{s}:totals", "{s}:number"], args).await?;
        dawdle(batch.number / 3).await;
        Ok(())
    }
}

fn options() -> WriteBehindOptions {
    WriteBehindOptions::new("rows").every(Duration::from_millis(20)).count(4).lease(Duration::from_millis(300))
}

/// Record of the intended and completed writes of a child: one line each, in a file that no other
/// process writes.
struct Book(std::fs::File);

impl Book {
    fn open(directory: &Path, number: u64) -> Self {
        let name = format!("book-{number}");
        let file = std::fs::OpenOptions::new().append(true).create(true).open(directory.join(name)).unwrap();
        Self(file)
    }

    fn note(&mut self, line: &str) {
        self.0.write_all(format!("{line}\n").as_bytes()).unwrap();
    }
}

async fn write_until_killed(directory: &Path) {
    let read = |name: &str| std::fs::read_to_string(directory.join(name)).unwrap();
    let (waits, store) = (durable(&read("waits")).await, read("store"));
    let rows = WriteBehind::on_redis(cached(), Json::new(), Shared::at(&store).await, &waits, &keyspace(), options());
    let views = Increments::on_redis(Shared::at(&store).await, &waits, &keyspace(), options());
    let number: u64 = std::env::var(NUMBER).unwrap().parse().unwrap();
    let (rows, views, mut book) = (rows.unwrap(), views.unwrap(), Book::open(directory, number));
    for nth in 0_usize.. {
        let (index, value) = (nth % KEYS, number << 32 | nth as u64);
        book.note(&format!("write? {index} {value}"));
        let accepted = rows.write(&key(index), value).await.unwrap();
        book.note(&format!("written {index} {value} {}", accepted.version));
        let by = i64::try_from(nth % 5).unwrap() - 1;
        book.note(&format!("add? {index} {by}"));
        views.add(&key(index), by).await.unwrap();
        book.note(&format!("added {index} {by}"));
    }
}

/// A process that is killed at the latest when the test has ended.
struct Node(Child);

impl Node {
    fn start(directory: &Path, number: usize) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", TEST]).env(DIRECTORY, directory).env(NUMBER, number.to_string());
        Self(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

fn books(directory: &Path) -> Vec<PathBuf> {
    let files = std::fs::read_dir(directory).unwrap().map(|file| file.unwrap().path());
    files.filter(|file| file.file_name().unwrap().to_str().unwrap().starts_with("book-")).collect()
}

/// How many bytes all books have.
fn written(directory: &Path) -> u64 {
    books(directory).iter().map(|book| std::fs::metadata(book).unwrap().len()).sum()
}

/// Content of all books together.
#[derive(Default)]
struct Verdict {
    /// By key: version and value of the latest write that was acknowledged.
    latest: HashMap<usize, (u64, u64)>,
    /// Writes with an unknown outcome, because their process was killed during them.
    open_writes: HashMap<usize, Vec<u64>>,
    added: HashMap<usize, i64>,
    open_adds: HashMap<usize, Vec<i64>>,
    acknowledged: usize,
}

impl Verdict {
    fn of(directory: &Path) -> Self {
        let mut verdict = Self::default();
        for book in books(directory) {
            verdict.read(&std::fs::read_to_string(book).unwrap());
        }
        verdict
    }

    fn read(&mut self, book: &str) {
        let lines: Vec<Vec<&str>> = book.lines().map(|line| line.split(' ').collect()).collect();
        for (nth, line) in lines.iter().enumerate() {
            let (index, number) = (line[1].parse().unwrap(), line[2]);
            let is_open = nth + 1 == lines.len();
            match line[0] {
                "write?" if is_open => self.open_writes.entry(index).or_default().push(number.parse().unwrap()),
                "add?" if is_open => self.open_adds.entry(index).or_default().push(number.parse().unwrap()),
                "written" => {
                    let written = (line[3].parse().unwrap(), number.parse().unwrap());
                    let latest = self.latest.entry(index).or_default();
                    *latest = written.max(*latest);
                    self.acknowledged += 1;
                }
                "added" => {
                    *self.added.entry(index).or_default() += number.parse::<i64>().unwrap();
                    self.acknowledged += 1;
                }
                _ => {}
            }
        }
    }

    fn check_row(&self, index: usize, row: Option<&String>) {
        let (version, value) = self.latest[&index];
        let (found_version, found): (u64, u64) = match row.unwrap().split_once(' ') {
            Some((version, value)) => (version.parse().unwrap(), value.parse().unwrap()),
            None => panic!("{row:?}"),
        };
        let open = self.open_writes.get(&index).is_some_and(|open| open.contains(&found));
        assert!((found_version, found) == (version, value) || (open && found_version > version), "{index}: {row:?}");
    }

    /// Checks that the total has all acknowledged increments, and any part of the open ones.
    fn check_total(&self, index: usize, total: i64) {
        let mut possible = vec![self.added.get(&index).copied().unwrap_or_default()];
        for by in self.open_adds.get(&index).into_iter().flatten() {
            possible.extend(possible.clone().iter().map(|sum| sum + by));
            possible.sort_unstable();
            possible.dedup();
        }
        assert!(possible.contains(&total), "key {index}: {total} is none of {possible:?}");
    }
}

#[tokio::test]
async fn two_nodes_lose_nothing_turn_nothing_back_and_count_exactly() {
    if let Some(directory) = std::env::var_os(DIRECTORY).map(PathBuf::from) {
        return write_until_killed(&directory).await;
    }
    let scratch = Scratch::new();
    let (waits, store) = (RedisServer::start().await, RedisServer::start().await);
    std::fs::write(scratch.path().join("waits"), waits.url()).unwrap();
    std::fs::write(scratch.path().join("store"), store.url()).unwrap();
    let kills = scale(6, 200);
    let mut nodes = [Node::start(scratch.path(), 0), Node::start(scratch.path(), 1)];
    for kill in 0..kills {
        // Killed no earlier than after some more writes.
        let wanted = written(scratch.path()) + LINES * (15 + kill as u64 * 37 % 50);
        poll_until(LONG, async || (written(scratch.path()) >= wanted).then_some(())).await.unwrap();
        nodes[kill % 2] = Node::start(scratch.path(), kill + 2);
    }
    drop(nodes);

    // A node that never wrote flushes the last writes of the killed ones.
    let client = durable(&waits.url()).await;
    let url = store.url();
    let shared = || Shared::at(&url);
    let rows = WriteBehind::on_redis(cached(), Json::new(), shared().await, &client, &keyspace(), options()).unwrap();
    let views = Increments::on_redis(shared().await, &client, &keyspace(), options()).unwrap();
    rows.flush(LONG).await.unwrap();
    views.flush(LONG).await.unwrap();
    let verdict = Verdict::of(scratch.path());
    let (found_rows, totals) = (shared().await.hash("{s}:rows").await, shared().await.hash("{s}:totals").await);
    for index in 0..KEYS {
        verdict.check_row(index, found_rows.get(key(index).as_str()));
        let total = totals.get(key(index).as_str()).map_or(0, |total| total.parse().unwrap());
        verdict.check_total(index, total);
    }
    println!("{} writes and increments acknowledged, {kills} kills", verdict.acknowledged);
    assert!(verdict.acknowledged >= kills * 20);
}
