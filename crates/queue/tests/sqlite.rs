//! Properties of the file alone: persistence, other processes, damage.
#![cfg(feature = "sqlite")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test ends where it is surprised")]

mod support;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use sqlx::{ConnectOptions, Connection, SqliteConnection};
use support::{LEASE, QUEUE, START, ack, job, jobs, new_jobs, reclaim, retry};
use tidegate_queue::{
    Broker, BrokerError, Change, Durability, EnqueueOptions, Fetch, JobId, JobState, LeaseToken, ManualClock, Nack,
    NackAction, OpenError, QueueSettings, Retention, Settled, SqliteBroker, SqliteOptions, Unique, Wake, WorkerId,
};
use tidegate_testkit::scale;

async fn open(path: &Path, clock: &ManualClock) -> SqliteBroker {
    let options = SqliteOptions::new().clock(clock);
    SqliteBroker::open(path, options).await.unwrap()
}

fn fetch(worker: &WorkerId, max: usize) -> Fetch {
    Fetch { worker: worker.clone(), max, lease: LEASE }
}

async fn raw(path: &Path) -> SqliteConnection {
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(path).create_if_missing(true);
    options.connect().await.unwrap()
}

#[tokio::test]
async fn nothing_is_acknowledged_by_a_file_that_was_deleted() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("queue.db");
    let broker = open(&path, &ManualClock::at(START)).await;
    broker.enqueue(QUEUE, jobs(0..1)).await.unwrap();
    broker.ensure_in_place().unwrap();
    std::fs::remove_file(&path).unwrap();
    let error = broker.enqueue(QUEUE, jobs(1..2)).await.unwrap_err();
    assert!(error.is_transient() && error.to_string().contains("queue.db was deleted"), "{error}");
    assert!(broker.ensure_in_place().is_err());
    let _other = open(&path, &ManualClock::at(START)).await;
    assert!(broker.enqueue(QUEUE, jobs(1..2)).await.is_err(), "it is another file");
}

#[tokio::test]
async fn everything_is_there_after_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("queue.db");
    let clock = ManualClock::at(START);
    let worker = WorkerId::generate();
    let first = open(&path, &clock).await;
    first.enqueue(QUEUE, jobs(0..10)).await.unwrap();
    let later = EnqueueOptions::new().delay(LEASE);
    first.enqueue(QUEUE, vec![job("later", later)]).await.unwrap();
    let (_, leased) = first.ack_and_fetch(QUEUE, vec![], fetch(&worker, 3)).await.unwrap();
    first.ack_and_fetch(QUEUE, vec![ack(&leased[0].token)], fetch(&worker, 0)).await.unwrap();
    let nack = Nack { token: leased[1].token.clone(), action: retry(9) };
    first.nack(QUEUE, vec![nack]).await.unwrap();
    first.pause("other").await.unwrap();
    let counts = first.counts(QUEUE).await.unwrap();
    let failed = first.job(QUEUE, &leased[1].token.id).await.unwrap();
    first.close().await;
    assert!(matches!(first.counts(QUEUE).await, Err(BrokerError::Closed)));
    assert!(matches!(first.enqueue(QUEUE, jobs(0..1)).await, Err(BrokerError::Closed)));

    let second = open(&path, &clock).await;
    assert_eq!(second.counts(QUEUE).await.unwrap(), counts);
    assert_eq!((counts.ready, counts.delayed, counts.leased, counts.done), (7, 2, 1, 1));
    assert_eq!(second.job(QUEUE, &leased[1].token.id).await.unwrap(), failed);
    assert_eq!(second.queues().await.unwrap(), ["other", QUEUE]);
    assert!(second.counts("other").await.unwrap().paused);
    let acks = vec![ack(&leased[0].token), ack(&leased[2].token)];
    let (settled, _) = second.ack_and_fetch(QUEUE, acks, fetch(&worker, 0)).await.unwrap();
    assert_eq!(settled, [Settled::Before, Settled::Now]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_new_file_is_opened_by_several_at_once() {
    for _ in 0..scale(20, 1_000) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("queue.db");
        let open = || tokio::spawn(SqliteBroker::open(path.clone(), SqliteOptions::default()));
        for opened in [open(), open(), open(), open()] {
            opened.await.unwrap().unwrap();
        }
    }
}

#[tokio::test]
async fn two_processes_share_one_file_and_each_job_goes_to_one() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("queue.db");
    let clock = ManualClock::at(START);
    let (one, two) = tokio::join!(open(&path, &clock), open(&path, &clock));
    let (one, two) = (Arc::new(one), Arc::new(two));
    one.enqueue(QUEUE, jobs(0..400)).await.unwrap();
    let take = |broker: Arc<SqliteBroker>| async move {
        let (worker, mut mine) = (WorkerId::generate(), Vec::new());
        let mut acks = Vec::new();
        loop {
            let (settled, leased) = broker.ack_and_fetch(QUEUE, acks, fetch(&worker, 7)).await.unwrap();
            assert!(settled.iter().all(|answer| *answer == Settled::Now));
            if leased.is_empty() {
                return mine;
            }
            acks = leased.iter().map(|job| ack(&job.token)).collect();
            mine.extend(leased.into_iter().map(|job| job.token.id));
        }
    };
    let (a, b) = tokio::join!(tokio::spawn(take(one.clone())), tokio::spawn(take(two.clone())));
    let mut all: Vec<JobId> = a.unwrap().into_iter().chain(b.unwrap()).collect();
    all.sort();
    assert_eq!(all.len(), 400);
    all.dedup();
    assert_eq!(all.len(), 400);
    assert_eq!(two.counts(QUEUE).await.unwrap().completed_total, 400);
}

#[tokio::test]
async fn an_enqueue_wakes_a_waiter_in_another_process() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("queue.db");
    let clock = ManualClock::at(START);
    let (one, two) = (open(&path, &clock).await, open(&path, &clock).await);
    let queues = [QUEUE.to_owned()];
    let (woken, added) = tokio::join!(one.wait(&queues, Duration::from_secs(60)), two.enqueue(QUEUE, jobs(0..1)),);
    assert_eq!((woken.unwrap(), new_jobs(&added.unwrap())), (Wake::Ready, 1));
}

#[tokio::test]
async fn concurrent_callers_are_each_answered() {
    let directory = tempfile::tempdir().unwrap();
    let clock = ManualClock::at(START);
    let broker = Arc::new(open(&directory.path().join("queue.db"), &clock).await);
    let mut tasks = tokio::task::JoinSet::new();
    for n in 0..200 {
        let broker = broker.clone();
        tasks.spawn(async move {
            let id = format!("job-{}", n % 100);
            broker.enqueue(QUEUE, vec![job(&id, EnqueueOptions::new())]).await.unwrap()
        });
    }
    assert_eq!(tasks.join_all().await.iter().map(|stored| new_jobs(stored)).sum::<usize>(), 100);
    assert_eq!(broker.counts(QUEUE).await.unwrap().ready, 100);
}

#[tokio::test]
async fn one_unreadable_record_does_not_fail_its_neighbours() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("queue.db");
    let clock = ManualClock::at(START);
    let broker = Arc::new(open(&path, &clock).await);
    broker.enqueue(QUEUE, jobs(0..20)).await.unwrap();
    let mut other = raw(&path).await;
    let damage = "UPDATE job SET history = 'not json' WHERE id = 'job-000003'";
    sqlx::query(damage).execute(&mut other).await.unwrap();
    let mut tasks = tokio::task::JoinSet::new();
    for n in 0..20 {
        let broker = broker.clone();
        let id = JobId::new(format!("job-{n:06}")).unwrap();
        tasks.spawn(async move { (n, broker.cancel(QUEUE, &id).await) });
    }
    for (n, change) in tasks.join_all().await {
        assert_eq!(matches!(change, Err(BrokerError::Store { transient: false, .. })), n == 3);
        assert!(n == 3 || change.unwrap() == Change::Applied);
    }
    assert_eq!(broker.counts(QUEUE).await.unwrap().cancelled, 19);
    let page = broker.list(QUEUE, JobState::Cancelled, None, 50).await.unwrap();
    assert_eq!(page.items.len(), 19);
}

#[tokio::test]
async fn a_held_lock_is_a_transient_error() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("queue.db");
    let options = SqliteOptions::new().busy_timeout(Duration::from_millis(20));
    let broker = SqliteBroker::open(&path, options).await.unwrap();
    let mut other = raw(&path).await;
    sqlx::query("BEGIN IMMEDIATE").execute(&mut other).await.unwrap();
    let refused = broker.enqueue(QUEUE, jobs(0..1)).await.unwrap_err();
    assert!(refused.is_transient(), "{refused}");
    sqlx::query("ROLLBACK").execute(&mut other).await.unwrap();
    assert_eq!(new_jobs(&broker.enqueue(QUEUE, jobs(0..1)).await.unwrap()), 1);
}

#[tokio::test]
async fn durable_settings_are_in_force() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("queue.db");
    let options = SqliteOptions::new().durability(Durability::Normal);
    SqliteBroker::open(&path, options).await.unwrap().close().await;
    let mut file = raw(&path).await;
    let mode: String = sqlx::query_scalar("PRAGMA journal_mode").fetch_one(&mut file).await.unwrap();
    let id: i64 = sqlx::query_scalar("PRAGMA application_id").fetch_one(&mut file).await.unwrap();
    assert_eq!((mode.as_str(), id), ("wal", 0x5467_5175));
}

async fn refused(path: &Path) -> OpenError {
    let before = std::fs::read(path).ok();
    let error = SqliteBroker::open(path, SqliteOptions::new()).await.err().expect("a refusal");
    assert_eq!(std::fs::read(path).ok(), before, "the file was touched");
    assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");
    error
}

#[tokio::test]
async fn files_that_are_not_ours_are_refused_untouched() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);

    std::fs::write(at("text"), "hello, ".repeat(2_000)).unwrap();
    assert!(matches!(refused(&at("text")).await, OpenError::NotADatabase { .. }));

    let mut other = raw(&at("other.db")).await;
    sqlx::raw_sql("CREATE TABLE note (text TEXT)").execute(&mut other).await.unwrap();
    other.close().await.unwrap();
    assert!(matches!(refused(&at("other.db")).await, OpenError::Foreign { application_id: 0, .. }));

    let clock = ManualClock::at(START);
    open(&at("newer.db"), &clock).await.close().await;
    let mut newer = raw(&at("newer.db")).await;
    sqlx::raw_sql("PRAGMA user_version = 99").execute(&mut newer).await.unwrap();
    newer.close().await.unwrap();
    let error = refused(&at("newer.db")).await;
    assert!(matches!(error, OpenError::NewerSchema { found: 99, supported: 2, .. }), "{error}");

    let error = refused(&at("missing/queue.db")).await;
    assert!(matches!(error, OpenError::Unwritable { .. }), "{error}");
    let error = refused(directory.path()).await;
    assert!(matches!(error, OpenError::Unwritable { .. }), "{error}");
}

#[tokio::test]
async fn a_damaged_file_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("queue.db");
    let clock = ManualClock::at(START);
    let broker = open(&path, &clock).await;
    broker.enqueue(QUEUE, jobs(0..500)).await.unwrap();
    broker.reclaim(QUEUE, reclaim(3)).await.unwrap();
    broker.close().await;
    let mut bytes = std::fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle..middle + 8_192].fill(0x5a);
    std::fs::write(&path, bytes).unwrap();
    let error = refused(&path).await;
    assert!(matches!(error, OpenError::Corrupt { .. }), "{error}");
}

#[tokio::test]
async fn a_file_of_version_1_is_migrated_with_its_jobs() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("queue.db");
    let mut old = raw(&path).await;
    sqlx::raw_sql(include_str!("sqlite/version_1.sql")).execute(&mut old).await.unwrap();
    old.close().await.unwrap();
    let clock = ManualClock::at(START);
    // Two processes of the new version may open the old file at the same time.
    let (broker, other) = tokio::join!(open(&path, &clock), open(&path, &clock));
    let counts = other.counts(QUEUE).await.unwrap();
    let states =
        [counts.ready, counts.delayed, counts.waiting, counts.leased, counts.done, counts.dead, counts.cancelled];
    assert_eq!(states, [1, 1, 0, 1, 1, 1, 1]);
    assert_eq!(broker.settings(QUEUE).await.unwrap(), QueueSettings::default());
    assert!(broker.counts("paused").await.unwrap().paused);
    for state in JobState::ALL.into_iter().filter(|state| *state != JobState::Waiting) {
        let page = broker.list(QUEUE, state, None, 9).await.unwrap();
        assert_eq!((page.items.len(), page.items[0].id.as_str()), (1, state.as_str()));
        assert_eq!((&page.items[0].ordering_key, &page.items[0].group), (&None, &None));
    }
    let job = |id: &str| JobId::new(id).unwrap();
    let failed = broker.job(QUEUE, &job("delayed")).await.unwrap().unwrap();
    assert_eq!((failed.failures, failed.attempts[0].error.as_deref()), (1, Some("no luck")));

    // A worker that was running during the upgrade settles its jobs; all other work continues.
    let worker = WorkerId::generate();
    let token: LeaseToken = "leased.1.0123456789abcdef".parse().unwrap();
    let (settled, leased) = broker.ack_and_fetch(QUEUE, vec![ack(&token)], fetch(&worker, 9)).await.unwrap();
    assert_eq!((settled, support::ids(&leased)), (vec![Settled::Now], vec!["ready"]));
    assert_eq!((leased[0].max_attempts, leased[0].payload.as_str()), (Some(3), "{\"n\":1}"));
    assert!(broker.checkpoint(QUEUE, &leased[0].token, "here".to_owned()).await.unwrap());
    assert_eq!(broker.retry(QUEUE, &job("dead")).await.unwrap(), Change::Applied);
    assert_eq!(broker.retry(QUEUE, &job("cancelled")).await.unwrap(), Change::Applied);
    assert_eq!(broker.drain(QUEUE, 9).await.unwrap() + broker.promote(QUEUE, 9).await.unwrap().moved, 3);
    broker.close().await;
    other.close().await;
    let again = open(&path, &clock).await;
    assert_eq!(again.counts(QUEUE).await.unwrap().done, 2);
    let version: i64 = sqlx::query_scalar("PRAGMA user_version").fetch_one(&mut raw(&path).await).await.unwrap();
    assert_eq!(version, 2);
}

#[tokio::test]
async fn keys_and_settings_hold_for_two_processes() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("queue.db");
    let clock = ManualClock::at(START);
    let (one, two) = (open(&path, &clock).await, open(&path, &clock).await);
    let worker = WorkerId::generate();
    let unique = |id| vec![job(id, EnqueueOptions::new().unique(Unique::new("key")))];
    let (a, b) = tokio::join!(one.enqueue(QUEUE, unique("a")), two.enqueue(QUEUE, unique("b")));
    assert_eq!(new_jobs(&a.unwrap()) + new_jobs(&b.unwrap()), 1);
    let ordered = |id| vec![job(id, EnqueueOptions::new().ordering_key("line"))];
    let (c, d) = tokio::join!(one.enqueue(QUEUE, ordered("c")), two.enqueue(QUEUE, ordered("d")));
    assert_eq!(new_jobs(&c.unwrap()) + new_jobs(&d.unwrap()), 2);
    assert_eq!(two.counts(QUEUE).await.unwrap().waiting, 1);
    let settings = QueueSettings { max_running: Some(1), ..QueueSettings::default() };
    one.configure(QUEUE, settings).await.unwrap();
    let (_, leased) = two.ack_and_fetch(QUEUE, vec![], fetch(&worker, 9)).await.unwrap();
    let (_, none) = one.ack_and_fetch(QUEUE, vec![], fetch(&worker, 9)).await.unwrap();
    assert_eq!((leased.len(), none.len()), (1, 0));
    // The end of the job in one process wakes a caller that waits in the other.
    let queues = [QUEUE.to_owned()];
    let release = Nack { token: leased[0].token.clone(), action: NackAction::Release };
    let (woken, settled) = tokio::join!(one.wait(&queues, Duration::from_secs(60)), two.nack(QUEUE, vec![release]));
    assert_eq!((woken.unwrap(), settled.unwrap()), (Wake::Ready, vec![Settled::Now]));
}

/// Each step is short, however many keys there are.
#[tokio::test]
async fn expired_unique_keys_are_forgotten_some_at_a_time() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("queue.db");
    let clock = ManualClock::at(START);
    let broker = open(&path, &clock).await;
    let held = |n: u32| EnqueueOptions::new().unique(Unique::new(n.to_string()).hold_for(LEASE));
    broker.enqueue(QUEUE, (0..5).map(|n| job(&format!("job-{n}"), held(n))).collect()).await.unwrap();
    clock.advance(LEASE);
    let mut file = raw(&path).await;
    let mut kept = Vec::new();
    loop {
        let went = broker.prune(QUEUE, Retention::default(), 2).await.unwrap();
        kept.push(sqlx::query_scalar::<_, i64>("SELECT count(*) FROM unique_key").fetch_one(&mut file).await.unwrap());
        if went < 2 {
            break;
        }
    }
    assert_eq!(kept, [3, 1, 0]);
}
