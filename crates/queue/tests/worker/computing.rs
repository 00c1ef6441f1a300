//! Handlers that compute without yielding.

#[cfg(feature = "redis")]
use std::sync::Arc;
use std::sync::atomic::Ordering;

use tidegate_queue::JobState;
#[cfg(feature = "sqlite")]
use tokio_util::sync::CancellationToken;

#[cfg(feature = "redis")]
use crate::harness::options;
use crate::harness::{Harness, Task};

/// One runtime thread, and handlers that each block it for longer than a lease. The leases concern
/// the running handler, those that wait for the thread, and those whose end is not settled yet.
/// Only a heartbeat on its own thread, for every lease from fetch to settlement, keeps the jobs
/// from a second worker.
#[cfg(feature = "sqlite")]
#[test]
fn handlers_that_compute_keep_their_leases() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let harness = runtime.block_on(Harness::sqlite());
    let rival = harness.worker();
    let rival = rival.build().unwrap();
    let rival_stop = CancellationToken::new();
    let stop = rival_stop.clone();
    let ids = runtime.block_on(harness.producer.enqueue_all(&vec![Task::Compute(2_500); 3])).unwrap();
    runtime.block_on(async {
        let worker = harness.start(harness.worker());
        harness.begun(1).await;
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(rival.run(stop)).unwrap()
        });
        for id in &ids {
            let record = harness.finished(id).await;
            assert_eq!((record.state, record.deliveries), (JobState::Done, 1));
        }
        harness.shutdown.cancel();
        rival_stop.cancel();
        let report = worker.await.unwrap();
        assert_eq!((report.settled, report.abandoned), (3, 0));
        thread.join().unwrap();
    });
    assert_eq!(harness.runner.runs.load(Ordering::SeqCst), 3);
}

/// The same on Redis, where every connection but that of the heartbeats is on the blocked thread.
#[cfg(feature = "redis")]
#[test]
fn handlers_that_compute_keep_their_leases_on_redis() {
    let single = || tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let servers = single();
    let server = servers.block_on(tidegate_testkit::redis::RedisServer::start());
    let url = server.url();
    let broker = async move || crate::support::redis::broker(&url, "test", tidegate_queue::RedisOptions::new()).await;
    let runtime = single();
    let harness = Harness::over(Arc::new(runtime.block_on(broker())), None);
    // The code that enqueues and observes has its own thread: a blocked one reads no reply in time.
    let bystander = Harness::over(Arc::new(servers.block_on(broker())), None);
    let stop = harness.shutdown.clone();
    let runner = harness.runner.clone();
    let rival = std::thread::spawn(move || {
        single().block_on(async {
            let rival = Harness { runner, ..Harness::over(Arc::new(broker().await), None) };
            let worker = rival.start(rival.worker_with(options().concurrency(1)));
            stop.cancelled().await;
            rival.shutdown.cancel();
            worker.await.unwrap()
        })
    });
    // Enqueued first, so that one exchange leases them: a blocked thread reads later leases late.
    let ids = servers.block_on(bystander.producer.enqueue_all(&vec![Task::Compute(2_500); 3])).unwrap();
    let inside = runtime.enter();
    let worker = harness.start(harness.worker());
    drop(inside);
    for id in ids {
        let record = servers.block_on(bystander.finished(&id));
        assert_eq!((record.state, record.deliveries), (JobState::Done, 1), "{record:?}");
    }
    harness.shutdown.cancel();
    assert_eq!(runtime.block_on(worker).unwrap().abandoned, 0);
    rival.join().unwrap();
    assert_eq!(harness.runner.runs.load(Ordering::SeqCst), 3);
}
