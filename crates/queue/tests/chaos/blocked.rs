//! Handlers that block the only thread of their program keep their leases. A program that is
//! suspended as a whole loses them, and its later settlements have no effect.

use std::time::Duration;

use tidegate_queue::Broker;
use tidegate_testkit::{Process, Scratch, poll_until, scale};

use crate::child::{BEGUN, How, QUEUE, RUNS, Task, job};
use crate::location::{LONG, StoreLocation, until};
use crate::log_file::{count, now, read};

const LEASE: Duration = Duration::from_secs(2);

/// A worker with one thread that has started the only job, and a second worker that would run it at
/// once.
async fn begun(location: &StoreLocation, how: How) -> [Process; 2] {
    let broker = location.broker().await;
    broker.enqueue(QUEUE, vec![job(0)]).await.unwrap();
    let first = Task::work(location, LEASE, 1, how).on_one_thread().start("first");
    let has_begun = async || (count(&location.directory, BEGUN) == 1).then_some(());
    poll_until(LONG, has_begun).await.unwrap();
    let other = Task::work(location, LEASE, 1, How::AtOnce).start("other");
    [first, other]
}

async fn keeps_its_lease(location: &StoreLocation) {
    let blocked = LEASE * u32::try_from(scale(3, 30)).unwrap();
    let _workers = begun(location, How::Block(blocked)).await;
    let broker = location.broker().await;
    let counts = until(&*broker, blocked + LONG, |counts| counts.done == 1).await;
    let (begun, runs) = (read(&location.directory, BEGUN), read(&location.directory, RUNS));
    assert_eq!((runs.len(), runs[0].delivery), (1, 1));
    println!("the only thread was blocked for {} ms under a lease of {LEASE:?}: kept", runs[0].at - begun[0].at);
    assert_eq!((counts.reclaimed_total, counts.stale_acks_total), (0, 0));
}

async fn loses_its_lease(location: &StoreLocation) {
    let broker = location.broker().await;
    let [mut first, _other] = begun(location, How::Take(LEASE * 2)).await;
    pause_without_a_lock(&mut first, &*broker).await;
    let paused = now();
    until(&*broker, LONG, |counts| counts.done == 1).await;
    let runs = read(&location.directory, RUNS);
    assert_eq!((runs.len(), runs[0].delivery), (1, 2));
    let elsewhere = runs[0].at - paused;
    // Long enough for the first worker to have finished, had it continued.
    tokio::time::sleep(LEASE * 2).await;
    first.resume().unwrap();
    let counts = until(&*broker, LONG, |counts| counts.stale_acks_total == 1).await;
    println!("stopped as a whole: run elsewhere after {elsewhere} ms, its own acknowledgement superseded");
    assert_eq!((counts.done, counts.completed_total, counts.reclaimed_total), (1, 1, 1));
    assert_eq!((counts.ready, counts.leased, counts.delayed), (0, 0, 0));
    let runs = read(&location.directory, RUNS);
    assert_eq!(runs.iter().map(|run| run.delivery).collect::<std::collections::BTreeSet<_>>(), [1, 2].into());
    let record = broker.job(QUEUE, &crate::child::id(0)).await.unwrap().unwrap();
    assert_eq!(record.deliveries, 2);
}

/// Suspends a process, but never within a transaction. Otherwise SQLite would let no other process
/// write until the process resumes, whatever its lease.
async fn pause_without_a_lock(process: &mut Process, broker: &dyn Broker) {
    loop {
        process.pause().await.unwrap();
        let write = broker.enqueue("beside", vec![job(1)]);
        match tokio::time::timeout(LEASE / 4, write).await {
            Ok(written) => return drop(written.unwrap()),
            Err(_) => process.resume().unwrap(),
        }
    }
}

#[cfg(feature = "sqlite")]
mod sqlite {
    use super::*;

    #[tokio::test]
    async fn a_handler_that_blocks_keeps_its_lease() {
        keeps_its_lease(&StoreLocation::sqlite(&Scratch::new())).await;
    }

    #[tokio::test]
    async fn a_program_that_is_stopped_loses_its_lease() {
        loses_its_lease(&StoreLocation::sqlite(&Scratch::new())).await;
    }
}

#[cfg(feature = "redis")]
mod redis {
    use tidegate_testkit::redis::RedisServer;

    use super::*;

    #[tokio::test]
    async fn a_handler_that_blocks_keeps_its_lease() {
        let (scratch, server) = (Scratch::new(), RedisServer::start().await);
        keeps_its_lease(&StoreLocation::redis(&scratch, server.url())).await;
    }

    #[tokio::test]
    async fn a_program_that_is_stopped_loses_its_lease() {
        let (scratch, server) = (Scratch::new(), RedisServer::start().await);
        loses_its_lease(&StoreLocation::redis(&scratch, server.url())).await;
    }
}
