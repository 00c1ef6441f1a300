//! A worker is killed: each of its jobs runs on another worker at most a second after its lease.

use std::time::Duration;

use tidegate_testkit::{Scratch, poll_until, scale};

use crate::child::{BEGUN, How, QUEUE, RUNS, Task, job};
use crate::location::{LONG, StoreLocation, until};
use crate::log_file::{count, now, read};

const JOBS: u32 = 20;
const AFTER_THE_LEASE: Duration = Duration::from_secs(1);

/// Milliseconds from the kill to each run on the other worker.
async fn moved(location: &StoreLocation, lease: Duration) -> Vec<i64> {
    let broker = location.broker().await;
    broker.enqueue(QUEUE, (0..JOBS).map(job).collect()).await.unwrap();
    let mut doomed = Task::work(location, lease, JOBS as usize, How::Hang).start("doomed");
    let all_begun = async || (count(&location.directory, BEGUN) == JOBS as usize).then_some(());
    poll_until(LONG, all_begun).await.unwrap();
    // The other worker has maintained the queue for more than a lease, as in normal operation.
    let _other = Task::work(location, lease, 5, How::AtOnce).start("other");
    poll_until(LONG, async || (broker.workers().await.ok()?.len() == 2).then_some(())).await.unwrap();
    tokio::time::sleep(lease.mul_f64(1.5)).await;
    assert_eq!(count(&location.directory, RUNS), 0);

    doomed.kill9().unwrap();
    let killed = now();
    let counts = until(&*broker, lease + LONG, |counts| counts.done == u64::from(JOBS)).await;
    assert_eq!((counts.reclaimed_total, counts.stale_acks_total), (u64::from(JOBS), 0));
    let mut after: Vec<i64> = read(&location.directory, RUNS).iter().map(|run| run.at - killed).collect();
    after.sort_unstable();
    println!("lease {lease:?}: run elsewhere {} to {} ms after the kill", after[0], after[after.len() - 1]);
    after
}

async fn in_time(location: &StoreLocation, lease: Duration) {
    let after = moved(location, lease).await;
    assert_eq!(after.len(), JOBS as usize);
    let latest = i64::try_from((lease + AFTER_THE_LEASE).as_millis()).unwrap();
    assert!(after.iter().all(|after| *after <= latest), "{after:?} > {latest}");
}

/// Lengths of the leases, in seconds.
fn leases() -> &'static [u64] {
    &[4, 2, 5, 10, 30][..scale(1, 5)]
}

#[cfg(feature = "sqlite")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn leases_of_a_killed_worker_expire_on_sqlite() {
    for lease in leases() {
        let scratch = Scratch::new();
        in_time(&StoreLocation::sqlite(&scratch), Duration::from_secs(*lease)).await;
    }
}

#[cfg(feature = "redis")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn leases_of_a_killed_worker_expire_on_redis() {
    for lease in leases() {
        let scratch = Scratch::new();
        let server = tidegate_testkit::redis::RedisServer::start().await;
        in_time(&StoreLocation::redis(&scratch, server.url()), Duration::from_secs(*lease)).await;
    }
}
