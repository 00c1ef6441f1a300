//! The steps whose effects are torn.

use std::time::Duration;

use tidegate_queue::{
    Change, CleanableState, EnqueueOptions, GroupId, JobState, NackAction, Priority, Progress, QueueSettings,
    Retention, Settled, Unique,
};

use crate::fixture::{Fixture, in_line};
use crate::support::{LEASE, QUEUE, ack, job, jobs, reclaim, retry};

/// A step whose effects are torn.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Step {
    Enqueue,
    EnqueueAny,
    EnqueueLinked,
    Replace,
    Fetch,
    Ack,
    AckLinked,
    AckAndFetch,
    Retry,
    RetryAtOnce,
    Snooze,
    Bury,
    BuryLinked,
    Discard,
    Release,
    Heartbeat,
    Progress,
    Checkpoint,
    Log,
    Promote,
    Reclaim,
    ReclaimToDead,
    Prune,
    Clean,
    Remove,
    Recover,
    Orphans,
    Pause,
    Configure,
    CancelFirst,
    CancelReady,
    CancelDelayed,
    CancelWaiting,
    CancelActive,
    RetryDead,
    RetryCancelled,
    RetryDelayed,
    Drain,
}

pub const STEPS: [Step; 38] = [
    Step::Enqueue,
    Step::EnqueueAny,
    Step::EnqueueLinked,
    Step::Replace,
    Step::Fetch,
    Step::Ack,
    Step::AckLinked,
    Step::AckAndFetch,
    Step::Retry,
    Step::RetryAtOnce,
    Step::Snooze,
    Step::Bury,
    Step::BuryLinked,
    Step::Discard,
    Step::Release,
    Step::Heartbeat,
    Step::Progress,
    Step::Checkpoint,
    Step::Log,
    Step::Promote,
    Step::Reclaim,
    Step::ReclaimToDead,
    Step::Prune,
    Step::Clean,
    Step::Remove,
    Step::Recover,
    Step::Orphans,
    Step::Pause,
    Step::Configure,
    Step::CancelFirst,
    Step::CancelReady,
    Step::CancelDelayed,
    Step::CancelWaiting,
    Step::CancelActive,
    Step::RetryDead,
    Step::RetryCancelled,
    Step::RetryDelayed,
    Step::Drain,
];

impl Step {
    /// Whether it may remove records.
    pub fn removes(self) -> bool {
        matches!(self, Self::Prune | Self::Clean | Self::Remove)
    }

    /// The jobs that ended before it, and must not run again.
    pub fn over(self) -> &'static [&'static str] {
        match self {
            Self::RetryDead | Self::RetryCancelled => &["done"],
            Self::Orphans => &["done", "dead", "gone", "line-1"],
            _ => &["done", "dead", "gone"],
        }
    }

    /// The jobs whose records it may remove.
    pub fn removed(self) -> &'static [&'static str] {
        if self.removes() { &["done", "dead", "gone", "tomb"] } else { &[] }
    }

    /// The jobs that may be gone after its first part, unless they were retried.
    pub fn removed_for_good(self) -> &'static [&'static str] {
        if self.removes() { &["done", "tomb"] } else { &[] }
    }
}

impl Fixture {
    /// Runs the operations before a step. These are not torn.
    pub async fn prepare(&self, step: Step) {
        match step {
            // Expired leases are not reclaimed for one more lease.
            Step::Reclaim | Step::ReclaimToDead => {
                self.bench.tick_for(25).await;
                self.audited().await;
            }
            Step::Recover => self.lose_places().await,
            Step::Orphans => self.leave_entries().await,
            _ => {}
        }
    }

    pub async fn step(&self, step: Step) {
        let Self { bench, leased, .. } = self;
        let broker = &bench.broker;
        let nack = async |name: &str, action| assert_eq!(bench.nack(&leased[name], action).await, Settled::Now);
        let cancel =
            async |name: &str| assert_ne!(broker.cancel(QUEUE, &self.id(name)).await.unwrap(), Change::NotFound);
        match step {
            Step::Enqueue => drop(broker.enqueue(QUEUE, jobs(0..5)).await.unwrap()),
            Step::EnqueueAny => {
                let options = EnqueueOptions::new;
                let mixed = vec![
                    job("any-1", options()),
                    job("any-2", options().delay(Duration::from_secs(9))),
                    job("any-3", options().priority(Priority::LOW)),
                ];
                broker.enqueue(QUEUE, mixed).await.unwrap();
            }
            Step::EnqueueLinked => {
                let unique = EnqueueOptions::new().unique(Unique::new("another").hold_for(LEASE));
                let line = in_line().group(GroupId::new("group").unwrap());
                broker.enqueue(QUEUE, vec![job("line-4", line), job("another", unique)]).await.unwrap();
            }
            Step::Replace => {
                let unique = EnqueueOptions::new().unique(Unique::new("alone").replace());
                broker.enqueue(QUEUE, vec![job("instead", unique)]).await.unwrap();
            }
            Step::Fetch => drop(bench.fetch(4).await),
            Step::Ack => drop(bench.exchange(vec![ack(&leased["held-1"]), ack(&leased["held-2"])], 0).await),
            Step::AckLinked => drop(bench.ack(&leased["line-1"]).await),
            Step::AckAndFetch => drop(bench.exchange(leased.values().map(ack).collect(), 3).await),
            Step::Retry => nack("held-1", retry(9)).await,
            Step::RetryAtOnce => nack("held-1", retry(0)).await,
            Step::Snooze => {
                nack("held-1", NackAction::Snooze { delay: LEASE, note: Some("later".to_owned()) }).await;
            }
            Step::Bury => nack("held-1", NackAction::Dead { error: "no".to_owned() }).await,
            Step::BuryLinked => nack("line-1", NackAction::Dead { error: "no".to_owned() }).await,
            Step::Discard => nack("held-1", NackAction::Discard { reason: "no".to_owned() }).await,
            Step::Release => nack("held-1", NackAction::Release).await,
            Step::Heartbeat => {
                drop(broker.heartbeat(QUEUE, leased.values().cloned().collect(), LEASE).await.unwrap());
            }
            Step::Progress => {
                let progress = Progress { percent: 5, message: "so far".to_owned() };
                broker.progress(QUEUE, &leased["held-1"], progress).await.unwrap();
            }
            Step::Checkpoint => drop(broker.checkpoint(QUEUE, &leased["held-1"], "5".to_owned()).await.unwrap()),
            Step::Log => {
                let lines = vec!["one".to_owned(), "two".to_owned()];
                broker.log(QUEUE, &leased["held-1"], lines).await.unwrap();
            }
            Step::Promote => {
                bench.advance(25);
                broker.promote(QUEUE, 10).await.unwrap();
            }
            Step::Reclaim | Step::ReclaimToDead => {
                bench.advance(5);
                let most = if step == Step::Reclaim { 3 } else { 1 };
                let reclaimed = broker.reclaim(QUEUE, reclaim(most)).await.unwrap();
                assert_eq!(reclaimed.ready.len() + reclaimed.dead.len(), 3);
            }
            Step::Prune => {
                let retention = Retention { done_max: 0, dead_max: 0, ..Retention::default() };
                broker.prune(QUEUE, retention, 10).await.unwrap();
            }
            Step::Clean => {
                for state in [CleanableState::Done, CleanableState::Dead, CleanableState::Cancelled] {
                    broker.clean(QUEUE, state, Duration::ZERO, 10).await.unwrap();
                }
            }
            Step::Remove => {
                let ids = ["done", "dead", "gone", "new-1"].map(|name| self.id(name));
                let removed = broker.remove(QUEUE, &ids).await.unwrap();
                assert_eq!(removed[..3], [Change::Applied; 3]);
                assert_eq!(removed[3], Change::Refused(JobState::Ready));
            }
            // The audit starts with it.
            Step::Recover | Step::Orphans => {
                bench.reclaim().await;
                self.audited().await;
                self.assert_whole("untorn").await;
                let recovered = if step == Step::Recover { 4 } else { 0 };
                assert_eq!(broker.counts(QUEUE).await.unwrap().recovered_total, recovered);
            }
            Step::Pause => {
                broker.pause(QUEUE).await.unwrap();
                broker.resume(QUEUE).await.unwrap();
            }
            Step::Configure => {
                let settings = QueueSettings { max_running: Some(9), ..QueueSettings::default() };
                broker.configure(QUEUE, settings).await.unwrap();
            }
            Step::CancelFirst => cancel("new-1").await,
            Step::CancelReady => cancel("new-3").await,
            Step::CancelDelayed => cancel("late-1").await,
            Step::CancelWaiting => cancel("line-2").await,
            Step::CancelActive => cancel("line-1").await,
            Step::RetryDead => drop(broker.retry_dead(QUEUE, 5).await.unwrap()),
            Step::RetryCancelled => drop(broker.retry(QUEUE, &self.id("gone")).await.unwrap()),
            Step::RetryDelayed => drop(broker.retry(QUEUE, &self.id("late-1")).await.unwrap()),
            Step::Drain => drop(broker.drain(QUEUE, 20).await.unwrap()),
        }
    }
}
