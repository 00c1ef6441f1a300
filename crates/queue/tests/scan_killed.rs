//! A large table, scanned by processes that are killed with `kill -9`. Each row is processed or
//! reported, in little memory. The children run this same test binary.
#![cfg(feature = "sqlite")]
#![allow(clippy::unwrap_used, reason = "a test ends where it is surprised")]
#![allow(clippy::print_stdout, reason = "a proof shows its figures")]

mod support;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Once};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sqlx::SqlitePool;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use tidegate_queue::{
    Broker, Completion, EnqueueError, Failure, FanOut, FanOutReport, FanOutScan, GroupId, Groups, InlineScan, Job,
    JobId, JobState, PageContext, ProcessRows, Producer, QueueOptions, RejectedRow, Scan, ScanOptions, ScanPage,
    ScanReport, SqliteBroker, SqliteOptions, Worker,
};
use tidegate_testkit::scale;
use tokio_util::sync::CancellationToken;

/// File with the URL of the broker that the processes of a directory use. Without it, the broker is
/// a file in the directory.
#[cfg(feature = "redis")]
const URL: &str = "url";
const DIRECTORY: &str = "TIDEGATE_QUEUE_TEST_DIRECTORY";
/// Rows whose id is divisible by it can't be processed.
const BAD: i64 = 997;
const MEMORY_LIMIT_KB: u64 = 50 << 10;

fn rows() -> i64 {
    i64::try_from(scale(20_000, 1_000_000)).unwrap()
}

fn page_rows() -> usize {
    scale(100, 2_000)
}

fn member_rows() -> usize {
    scale(50, 500)
}

/// When this process reads its first rows, it records how much memory it uses.
static BEGAN: Once = Once::new();

#[derive(Clone)]
struct Table(SqlitePool, Arc<Path>);

struct Row {
    id: i64,
    text: String,
}

impl Table {
    async fn open(directory: &Path) -> Self {
        let options = SqliteConnectOptions::new()
            .filename(directory.join("table.db"))
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Normal)
            .busy_timeout(Duration::from_secs(20));
        let pool = SqlitePoolOptions::new().max_connections(3).connect_with(options).await.unwrap();
        Self(pool, directory.into())
    }

    async fn fill(&self) {
        sqlx::query("create table accounts (id integer primary key, text text not null, runs integer not null)")
            .execute(&self.0)
            .await
            .unwrap();
        sqlx::query("create table rejected (id integer primary key, reason text not null)")
            .execute(&self.0)
            .await
            .unwrap();
        sqlx::query(
            "with recursive numbers (n) as (select 1 union all select n + 1 from numbers where n < ?) \
             insert into accounts select n * 3, printf('account %d of a customer whose name is neither short nor long', n), 0 \
             from numbers",
        )
        .bind(rows())
        .execute(&self.0)
        .await
        .unwrap();
    }

    async fn page(&self, after: i64, limit: usize) -> Result<Vec<Row>, sqlx::Error> {
        BEGAN.call_once(|| {
            let memory = memory_of("self", "VmRSS").unwrap().to_string();
            std::fs::write(self.1.join(format!("rss-{}", std::process::id())), memory).unwrap();
        });
        let rows: Vec<(i64, String)> = sqlx::query_as("select id, text from accounts where id > ? order by id limit ?")
            .bind(after)
            .bind(i64::try_from(limit).unwrap())
            .fetch_all(&self.0)
            .await?;
        Ok(rows.into_iter().map(|(id, text)| Row { id, text }).collect())
    }

    /// Records in one step that the rows were processed. Returns those that can't be.
    async fn process(&self, rows: &[Row]) -> Result<Vec<i64>, sqlx::Error> {
        let (bad, good): (Vec<&Row>, Vec<&Row>) = rows.iter().partition(|row| row.id % BAD == 0);
        assert!(rows.iter().all(|row| row.text.contains("customer")));
        let ids: Vec<i64> = good.iter().map(|row| row.id).collect();
        let ids = serde_json::to_string(&ids).unwrap();
        sqlx::query("update accounts set runs = runs + 1 where id in (select value from json_each(?))")
            .bind(ids)
            .execute(&self.0)
            .await?;
        Ok(bad.into_iter().map(|row| row.id).collect())
    }

    async fn report(&self, ids: &[i64]) -> Result<(), sqlx::Error> {
        sqlx::query("insert or ignore into rejected select value, 'of bad length' from json_each(?)")
            .bind(serde_json::to_string(ids).unwrap())
            .execute(&self.0)
            .await
            .map(drop)
    }

    async fn number(&self, query: &'static str) -> i64 {
        sqlx::query_scalar(query).fetch_one(&self.0).await.unwrap()
    }

    async fn processed(&self) -> i64 {
        self.number("select count(*) from accounts where runs > 0").await
    }
}

#[derive(Serialize, Deserialize)]
struct Rebuild;

impl Job for Rebuild {
    const KIND: &'static str = "accounts.rebuild";
    const QUEUE: &'static str = "scans";
}

#[derive(Serialize, Deserialize)]
struct Accounts {
    after: i64,
    rows: usize,
}

impl Job for Accounts {
    const KIND: &'static str = "accounts.some";
    const QUEUE: &'static str = "accounts";
}

#[derive(Serialize, Deserialize)]
struct Rebuilt;

impl Job for Rebuilt {
    const KIND: &'static str = "accounts.rebuilt";
    const QUEUE: &'static str = "scans";
}

impl Scan for Table {
    type Job = Rebuild;
    type Row = Row;
    type Position = i64;
    type Error = Failure;

    async fn page(&self, _: &Rebuild, after: Option<&i64>, limit: usize) -> Result<ScanPage<Row, i64>, Failure> {
        let rows = self.page(after.copied().unwrap_or(0), limit).await.map_err(Failure::retry)?;
        let next = rows.last().map(|row| row.id);
        Ok(ScanPage { rows, next })
    }

    async fn count(&self, _: &Rebuild) -> Result<Option<u64>, Failure> {
        Ok(u64::try_from(self.number("select count(*) from accounts").await).ok())
    }
}

impl ProcessRows for Table {
    async fn process(&self, _: &Rebuild, rows: Vec<Row>, page: &mut PageContext<'_>) -> Result<(), Failure> {
        for id in self.process(&rows).await.map_err(Failure::retry)? {
            page.reject(id.to_string(), "of bad length");
        }
        Ok(())
    }

    async fn report(&self, _: &Rebuild, rejected: &[RejectedRow]) -> Result<(), Failure> {
        let ids: Vec<i64> = rejected.iter().map(|reject| reject.row.parse().unwrap()).collect();
        self.report(&ids).await.map_err(Failure::retry)
    }
}

impl FanOut for Table {
    type Member = Accounts;

    fn split(&self, _: &Rebuild, rows: Vec<Row>) -> Vec<Accounts> {
        rows.chunks(member_rows()).map(|some| Accounts { after: some[0].id - 1, rows: some.len() }).collect()
    }

    fn completion(&self, _: &Rebuild, _: &GroupId) -> Result<Option<Completion>, EnqueueError> {
        Completion::job(&Rebuilt).map(Some)
    }
}

async fn broker(directory: &Path) -> Arc<dyn Broker> {
    #[cfg(feature = "redis")]
    if let Ok(url) = std::fs::read_to_string(directory.join(URL)) {
        return Arc::new(support::redis::broker(&url, "test", tidegate_queue::RedisOptions::new()).await);
    }
    Arc::new(SqliteBroker::open(directory.join("queue.db"), SqliteOptions::new()).await.unwrap())
}

/// Work of a child process.
async fn work_until_killed(directory: &Path, is_fan_out: bool) {
    let (table, broker) = (Table::open(directory).await, broker(directory).await);
    let options = ScanOptions::new().page_rows(page_rows()).max_pending(200);
    let members = table.clone();
    let some = move |job: Accounts| {
        let table = members.clone();
        async move {
            let rows = table.page(job.after, job.rows).await.map_err(Failure::retry)?;
            let bad = table.process(&rows).await.map_err(Failure::retry)?;
            table.report(&bad).await.map_err(Failure::retry)
        }
    };
    let worker = Worker::builder(broker)
        .lease(Duration::from_secs(2))
        .queue("scans", QueueOptions::new())
        .queue("accounts", QueueOptions::new().concurrency(4))
        .handler(some)
        .handler(|_: Rebuilt| async {});
    let worker = match is_fan_out {
        true => worker.handler(FanOutScan::new(table, options)),
        false => worker.handler(InlineScan::new(table, options)),
    };
    worker.build().unwrap().run(CancellationToken::new()).await.unwrap();
}

/// Returns kB.
fn memory_of(process: &str, field: &str) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find(|line| line.starts_with(field))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

/// A child process. It is killed when the test ends, at the latest.
struct Child(std::process::Child);

impl Child {
    fn start(test: &str, directory: &Path) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", test]).env(DIRECTORY, directory);
        Self(command.stdout(Stdio::null()).spawn().unwrap())
    }

    /// Growth of its peak memory since it started to work, in kB.
    fn growth(&self, directory: &Path) -> Option<u64> {
        let pid = self.0.id().to_string();
        let before: u64 = std::fs::read_to_string(directory.join(format!("rss-{pid}"))).ok()?.parse().ok()?;
        Some(memory_of(&pid, "VmHWM")?.saturating_sub(before))
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

fn given() -> Option<PathBuf> {
    std::env::var_os(DIRECTORY).map(PathBuf::from)
}

async fn killed_twice(this: &str, directory: &Path) -> (Table, Arc<dyn Broker>, JobId) {
    let (table, broker) = (Table::open(directory).await, broker(directory).await);
    table.fill().await;
    let id = Producer::new(broker.clone()).enqueue(&Rebuild).await.unwrap();
    let mut growth = Vec::new();
    for third in 1..=3 {
        let child = Child::start(this, directory);
        let mut highest = 0;
        loop {
            highest = highest.max(child.growth(directory).unwrap_or(0));
            let is_over = match third {
                3 => is_over(&*broker, &id).await,
                _ => {
                    let scan = broker.job("scans", &id).await.unwrap().unwrap();
                    assert_ne!(scan.state, JobState::Dead, "{scan:?}");
                    table.processed().await >= rows() / 3 * third
                }
            };
            if is_over {
                break;
            }
            tokio::time::sleep(Duration::from_millis(if third == 3 { 50 } else { 5 })).await;
        }
        if third < 3 {
            assert!(!is_over(&*broker, &id).await, "it was killed while it worked");
        }
        growth.push(highest);
    }
    let all = rows();
    let reported = table.number("select count(*) from rejected").await;
    let again = table.number("select coalesce(sum(runs - 1), 0) from accounts where runs > 1").await;
    let processed = table.processed().await;
    println!(
        "{all} rows: {processed} processed, {again} of them again, {reported} reported; memory grew by {growth:?} kB"
    );
    assert_eq!(
        table.number("select count(*) from accounts where runs = 0 and id not in (select id from rejected)").await,
        0
    );
    assert_eq!(processed + reported, all);
    assert_eq!(reported, all * 3 / (BAD * 3));
    assert!(growth.iter().all(|growth| *growth > 0 && *growth <= MEMORY_LIMIT_KB), "{growth:?}");
    // Only the pages and jobs of the two killed processes were repeated.
    let held = i64::try_from(page_rows().max(4 * member_rows())).unwrap();
    assert!(again <= 2 * held, "{again} repeated");
    (table, broker, id)
}

/// Whether everything has ended, including the job after the scan, if there is one.
async fn is_over(broker: &dyn Broker, id: &JobId) -> bool {
    let scan = broker.job("scans", id).await.unwrap().unwrap();
    assert_ne!(scan.state, JobState::Dead, "{scan:?}");
    if scan.state != JobState::Done {
        return false;
    }
    let scans = broker.counts("scans").await.unwrap();
    scan.result.unwrap().get("group").is_none() || scans.completed_total == 2
}

async fn inline_killed(this: &str, directory: &Path) {
    let (_, broker, id) = killed_twice(this, directory).await;
    let record = broker.job("scans", &id).await.unwrap().unwrap();
    assert_eq!((record.deliveries, record.failures), (3, 0));
    let report: ScanReport = serde_json::from_value(record.result.unwrap()).unwrap();
    // Its tally counts each page once, even if pages were repeated.
    assert_eq!(report.rows, rows().unsigned_abs());
    assert_eq!(report.rejected, (rows() / BAD).unsigned_abs());
}

async fn group_killed(this: &str, directory: &Path) {
    let (_, broker, id) = killed_twice(this, directory).await;
    let record = broker.job("scans", &id).await.unwrap().unwrap();
    let report: FanOutReport = serde_json::from_value(record.result.unwrap()).unwrap();
    assert_eq!(report.rows, rows().unsigned_abs());
    let jobs = report.rows.div_ceil(member_rows() as u64);
    let progress = Groups::new(broker.clone()).progress(&report.group).await.unwrap();
    assert_eq!((progress.total, progress.done, progress.dead), (jobs, jobs, 0), "no job was made twice");
    assert_eq!(broker.counts("scans").await.unwrap().completed_total, 2, "the scan, and the job after it, once");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sqlite_inline() {
    match given() {
        Some(directory) => work_until_killed(&directory, false).await,
        None => inline_killed("sqlite_inline", tempfile::tempdir().unwrap().path()).await,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sqlite_through_a_group() {
    match given() {
        Some(directory) => work_until_killed(&directory, true).await,
        None => group_killed("sqlite_through_a_group", tempfile::tempdir().unwrap().path()).await,
    }
}

#[cfg(feature = "redis")]
async fn redis_in(directory: &Path) -> tidegate_testkit::redis::RedisServer {
    let server = tidegate_testkit::redis::RedisServer::start().await;
    std::fs::write(directory.join(URL), server.url()).unwrap();
    server
}

#[cfg(feature = "redis")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_inline() {
    if let Some(directory) = given() {
        return work_until_killed(&directory, false).await;
    }
    let directory = tempfile::tempdir().unwrap();
    let _server = redis_in(directory.path()).await;
    inline_killed("redis_inline", directory.path()).await;
}

#[cfg(feature = "redis")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_through_a_group() {
    if let Some(directory) = given() {
        return work_until_killed(&directory, true).await;
    }
    let directory = tempfile::tempdir().unwrap();
    let _server = redis_in(directory.path()).await;
    group_killed("redis_through_a_group", directory.path()).await;
}
