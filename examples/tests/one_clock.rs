//! One manual clock moves the time of every crate of a service at once.

use std::sync::Arc;
use std::time::Duration;

use tidegate_perfmon::{Registry, StatusClass, Window};
use tidegate_queue::{Broker, EnqueueOptions, Job, ManualClock, MemoryBroker, Producer};
use tidegate_sync::{LeaseOptions, Lock, MemoryStore};

const MINUTE: Duration = Duration::from_secs(60);
/// Window of the monitoring that a request leaves as the clock moves.
const LAST_MINUTE: Window = Window::Seconds(60);

#[derive(serde::Serialize, serde::Deserialize)]
struct Remind;

impl Job for Remind {
    const KIND: &'static str = "remind";
    const QUEUE: &'static str = "reminders";
}

#[tokio::test]
async fn one_clock_moves_jobs_figures_and_leases() -> anyhow::Result<()> {
    let clock = ManualClock::new();

    let broker = Arc::new(MemoryBroker::with_clock(&clock));
    let producer = Producer::new(broker.clone());
    producer.enqueue_with(&Remind, EnqueueOptions::new().delay(MINUTE)).await?;

    let registry = Registry::builder().clock(&clock).build();
    registry.endpoint("GET", "/reminders").record(StatusClass::Success, Duration::from_millis(5));

    let store = Arc::new(MemoryStore::with_clock(&clock));
    let lease = LeaseOptions::new().lease(MINUTE).without_renewal();
    let [first, second] = [(); 2].map(|()| Lock::new(store.clone(), "nightly").lease_options(lease));
    let held = first.try_acquire().await?;
    assert!(held.is_some());

    // The job is delayed, the request is counted, and the lock is held.
    registry.tick(registry.now());
    assert_eq!(broker.promote(Remind::QUEUE, 10).await?.moved, 0);
    assert_eq!(registry.overall(LAST_MINUTE).count, 1);
    assert!(second.try_acquire().await?.is_none());

    clock.advance(2 * MINUTE);

    // The job is due, the request has left the window, and the lease has ended.
    registry.tick(registry.now());
    assert_eq!(broker.promote(Remind::QUEUE, 10).await?.moved, 1);
    assert_eq!(registry.overall(LAST_MINUTE).count, 0);
    assert!(second.try_acquire().await?.is_some());
    Ok(())
}
