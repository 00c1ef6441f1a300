//! Two schedulers that run step by step in random order, pause in the middle, are killed and fail.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::json;
use tidegate_queue::{Broker, Overlap, Recurrence, Retention, Schedule, ScheduledRun, Scheduler, Schedules, Timestamp};

use crate::support::{Bench, QUEUE, ack};
use crate::unsteady::Unsteady;

/// The current work of one process.
type Work = Option<Pin<Box<dyn Future<Output = ()> + Send>>>;

/// Number of runs by schedule and time.
type Runs = BTreeMap<(String, Timestamp), usize>;

#[derive(Default, Debug)]
struct Seen {
    killed: usize,
    stopped: usize,
    changed: usize,
    known: usize,
}

impl Seen {
    fn is_calm(&self, ticks: usize) -> bool {
        self.killed.min(self.stopped).min(self.changed) <= ticks / 50
    }
}

/// Removes all finished jobs at once, so that ids alone would not detect a repeated enqueue.
const NOTHING_KEPT: Retention =
    Retention { done_for: Duration::ZERO, done_max: 0, dead_for: Duration::ZERO, dead_max: 0 };

fn schedules() -> Vec<Schedule> {
    let new = |name: &str, recurrence| {
        Schedule::new(name, recurrence, QUEUE, "tick").grace(Duration::from_secs(6 * 3600)).overlap(Overlap::Allow)
    };
    vec![
        new("minutely", Recurrence::cron("* * * * *", "UTC")),
        new("seconds", Recurrence::cron("*/20 * * * * *", "Asia/Kathmandu")),
        new("odd", Recurrence::cron("*/7 0-23/2 * * *", "Europe/Berlin")),
        new("interval", Recurrence::Every(Duration::from_millis(45_500))),
        new("rare", Recurrence::cron("@hourly", "America/New_York")),
    ]
}

async fn take(bench: &Bench, runs: &mut Runs) {
    loop {
        let leased = bench.fetch(100).await;
        if leased.is_empty() {
            break;
        }
        let acks = leased.iter().map(|job| ack(&job.token)).collect();
        bench.exchange(acks, 0).await;
        for job in leased {
            let run = ScheduledRun::of(&job.token.id).expect("a schedule's job");
            *runs.entry((run.schedule, run.due.expect("a time"))).or_default() += 1;
        }
    }
    while bench.broker.prune(QUEUE, NOTHING_KEPT, 100).await.unwrap() > 0 {}
}

/// Runs one step of the work. Returns whether it has ended.
fn step(work: &mut Work) -> bool {
    let Some(future) = work else { return true };
    if future.as_mut().poll(&mut Context::from_waker(Waker::noop())) == Poll::Ready(()) {
        *work = None;
    }
    work.is_none()
}

/// Runs that many ticks, and compares the runs with the times of each schedule.
pub async fn run(bench: Bench, seed: u64, ticks: usize) {
    let mut dice = StdRng::seed_from_u64(seed);
    let unsteady = Unsteady::new(bench.broker.clone(), seed);
    let shaky: Arc<dyn Broker> = unsteady.clone();
    let begin = bench.now();
    let steady = Schedules::new(bench.broker.clone());
    for schedule in schedules() {
        steady.put(schedule).await.unwrap();
    }
    unsteady.fail(20);

    let mut runs = Runs::new();
    let mut seen = Seen::default();
    // Two schedulers, and a process that changes payloads.
    let mut processes: [Work; 3] = [None, None, None];
    // The number of faults depends on the speed of the store: with few faults, the test runs for
    // longer.
    let mut tick = 0;
    while tick < ticks || (seen.is_calm(ticks) && tick < 4 * ticks) {
        tick += 1;
        bench.clock.advance(Duration::from_millis(dice.random_range(1..40_000)));
        let now = bench.now();
        for process in &mut processes[..2] {
            if process.is_none() && dice.random_bool(0.9) {
                let scheduler = Scheduler::new(shaky.clone());
                *process = Some(Box::pin(async move {
                    drop(scheduler.tick(now).await);
                }));
            }
        }
        if processes[2].is_none() && dice.random_bool(0.1) {
            let pick = dice.random_range(0..5);
            let changed = schedules().swap_remove(pick).payload(json!({ "at": now }));
            let schedules = Schedules::new(shaky.clone());
            seen.changed += 1;
            processes[2] = Some(Box::pin(async move {
                drop(schedules.put(changed).await);
            }));
        }
        // Some ticks end with unfinished work, which continues in a later tick with an old time.
        let finish = dice.random_bool(0.8);
        let mut steps: u32 = dice.random_range(0..60);
        while processes.iter().any(Option::is_some) && (finish || steps > 0) {
            let pick = dice.random_range(0..3);
            let moments = unsteady.moments.load(Ordering::Relaxed);
            step(&mut processes[pick]);
            // A poll that only waited for the store does not count. Otherwise, processes would be
            // killed more often on slow stores.
            if unsteady.moments.load(Ordering::Relaxed) > moments {
                steps = steps.saturating_sub(1);
                if processes[pick].is_some() && dice.random_bool(0.01) {
                    processes[pick] = None;
                    seen.killed += 1;
                }
            }
            tokio::task::yield_now().await;
        }
        seen.stopped += processes.iter().flatten().count();
        if dice.random_bool(0.5) {
            take(&bench, &mut runs).await;
        }
    }
    while !processes.iter_mut().all(step) {
        tokio::task::yield_now().await;
    }
    let now = bench.now();
    let last = Scheduler::new(bench.broker.clone()).tick(now).await.unwrap();
    seen.known += last.known;
    assert!(last.failed.is_empty() && last.next > Some(now), "{last:?}");
    take(&bench, &mut runs).await;

    let mut expected = Runs::new();
    for schedule in schedules() {
        let times = schedule.recurrence.upcoming(begin, 6_000).unwrap();
        expected
            .extend(times.into_iter().take_while(|time| *time <= now).map(|time| ((schedule.name.clone(), time), 1)));
    }
    let twice: Vec<_> = runs.iter().filter(|(_, count)| **count > 1).collect();
    let missed: Vec<_> = expected.keys().filter(|time| !runs.contains_key(time)).collect();
    let invented: Vec<_> = runs.keys().filter(|time| !expected.contains_key(time)).collect();
    assert!(
        twice.is_empty() && missed.is_empty() && invented.is_empty(),
        "seed {seed}: {twice:?} {missed:?} {invented:?}"
    );
    assert!(!seen.is_calm(ticks), "the storm was a calm: {seen:?}");
    assert!(runs.len() > ticks, "{} runs", runs.len());
}
