//! Schedulers that stop, crash or come late, and clocks that jump.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use serde_json::json;
use tidegate_queue::{
    Broker, CatchUp, JobId, Overlap, Recurrence, Retention, Schedule, ScheduledRun, Scheduler, Schedules, Timestamp,
};

use crate::support::{Bench, QUEUE, ack};
use crate::unsteady::Unsteady;

/// Start of a minute, shortly after the start of the benches' clocks.
pub const DUE: Timestamp = Timestamp::from_unix_ms(1_700_000_040_000);

pub fn minutely(name: &str) -> Schedule {
    Schedule::new(name, Recurrence::cron("* * * * *", "UTC"), QUEUE, "test").payload(json!({"n": 1}))
}

pub fn schedules(bench: &Bench) -> Schedules {
    Schedules::new(bench.broker.clone())
}

pub fn scheduler(bench: &Bench) -> Scheduler {
    Scheduler::new(bench.broker.clone())
}

/// Sets the clock to some seconds after the first time of a minutely schedule, and ticks. Returns
/// the number of new jobs.
pub async fn tick_at(bench: &Bench, seconds: u64) -> usize {
    bench.clock.set(DUE.after(Duration::from_secs(seconds)));
    let ticked = scheduler(bench).tick(bench.now()).await.unwrap();
    assert!(ticked.failed.is_empty(), "{:?}", ticked.failed);
    ticked.enqueued
}

/// Runs the ready jobs. Returns their minutes.
pub async fn run_ready(bench: &Bench) -> Vec<i64> {
    let leased = bench.fetch(1_000).await;
    bench.exchange(leased.iter().map(|job| ack(&job.token)).collect(), 0).await;
    let due = |id: &JobId| ScheduledRun::of(id).and_then(|run| run.due).expect("a time");
    leased.iter().map(|job| (due(&job.token.id).unix_ms() - DUE.unix_ms()) / 60_000).collect()
}

async fn forget_finished(bench: &Bench) {
    let nothing = Retention { done_for: Duration::ZERO, done_max: 0, dead_for: Duration::ZERO, dead_max: 0 };
    while bench.broker.prune(QUEUE, nothing, 100).await.unwrap() > 0 {}
}

pub async fn missed_times_follow_the_policy(bench: Bench) {
    for (name, catch_up, expected) in [
        ("skip", CatchUp::Skip, vec![]),
        ("once", CatchUp::Once, vec![10]),
        ("all", CatchUp::All { at_most: 3 }, vec![8, 9, 10]),
    ] {
        bench.clock.set(DUE.before(Duration::from_secs(1)));
        let schedule = minutely(name).catch_up(catch_up).grace(Duration::from_secs(20));
        schedules(&bench).put(schedule).await.unwrap();
        assert_eq!(tick_at(&bench, 10 * 60 + 30).await, expected.len(), "{name}");
        assert_eq!(run_ready(&bench).await, expected, "{name}");
        assert_eq!(tick_at(&bench, 11 * 60 + 5).await, 1, "{name}: on time again");
        assert_eq!(run_ready(&bench).await, [11], "{name}");
        schedules(&bench).remove(name).await.unwrap();
    }
}

pub async fn dying_between_the_two_steps_repeats_and_loses_nothing(bench: Bench) {
    schedules(&bench).put(minutely("s")).await.unwrap();
    bench.clock.set(DUE);
    let unsteady = Unsteady::new(bench.broker.clone(), 1);
    {
        let dying = Scheduler::new(unsteady.clone());
        let mut tick = pin!(dying.tick(DUE));
        // The read of the schedule and the enqueue; the next step would move the schedule.
        poll_until(&unsteady, 3, &mut tick).await;
    }
    assert_eq!(bench.broker.counts(QUEUE).await.unwrap().ready, 1);
    assert_eq!(schedules(&bench).get("s").await.unwrap().unwrap().next, Some(DUE));

    let ticked = scheduler(&bench).tick(DUE).await.unwrap();
    assert_eq!((ticked.enqueued, ticked.known), (0, 1));
    assert_eq!(ticked.next, Some(DUE.after(Duration::from_secs(60))));
    let state = schedules(&bench).get("s").await.unwrap().unwrap();
    assert_eq!(state.last.map(|last| (last.due, last.skipped)), Some((DUE, false)));
    assert_eq!(run_ready(&bench).await, [0]);
}

/// Continues until `steps` steps other than reading all schedules have started. The last of them
/// has not taken effect yet.
pub async fn poll_until<F: Future + Unpin>(unsteady: &Unsteady, steps: usize, work: &mut F) {
    while unsteady.others.load(Ordering::Relaxed) < steps {
        let polled = std::pin::Pin::new(&mut *work).poll(&mut Context::from_waker(Waker::noop()));
        assert!(matches!(polled, Poll::Pending), "it was over before");
        tokio::task::yield_now().await;
    }
}

pub async fn a_scheduler_that_was_suspended_makes_no_second_job(bench: Bench) {
    // Paused before its last read of the schedule, which then shows the change. And paused directly
    // before the enqueue, where the unique key of the time is still held.
    for (overlap, steps) in [(Overlap::Skip, 1), (Overlap::Allow, 1), (Overlap::Allow, 2)] {
        let name = format!("s{steps}{overlap:?}");
        bench.clock.set(DUE.before(Duration::from_secs(1)));
        schedules(&bench).put(minutely(&name).overlap(overlap)).await.unwrap();
        bench.clock.set(DUE);
        let unsteady = Unsteady::new(bench.broker.clone(), 1);
        let slow = Scheduler::new(unsteady.clone());
        let mut tick = pin!(slow.tick(DUE));
        poll_until(&unsteady, steps, &mut tick).await;

        assert_eq!(tick_at(&bench, 1).await, 1);
        assert_eq!(run_ready(&bench).await, [0]);
        bench.advance(50 * 60);
        forget_finished(&bench).await;
        let before = schedules(&bench).get(&name).await.unwrap();

        let ticked = tick.await.unwrap();
        assert_eq!((ticked.enqueued, ticked.failed.len()), (0, 0), "{name}");
        assert_eq!(bench.fetch(1).await.len(), 0);
        assert_eq!(schedules(&bench).get(&name).await.unwrap(), before, "{name}");
        schedules(&bench).remove(&name).await.unwrap();
    }
}

pub async fn a_clock_set_back_a_little_repeats_nothing(bench: Bench) {
    schedules(&bench).put(minutely("s")).await.unwrap();
    for minute in 0..60 {
        assert_eq!(tick_at(&bench, minute * 60).await, 1);
    }
    run_ready(&bench).await;
    forget_finished(&bench).await;
    for minute in 0..60 {
        assert_eq!(tick_at(&bench, minute * 60).await, 0, "an hour again");
    }
    assert_eq!(tick_at(&bench, 3600).await, 1);
}

pub async fn a_clock_that_was_far_ahead_does_not_silence_a_schedule(bench: Bench) {
    schedules(&bench).put(minutely("s")).await.unwrap();
    // One second more, so that the minute before counts as missed and not as late.
    let year = 365 * 86_400 + 1;
    assert_eq!(tick_at(&bench, year).await, 1, "a year too early");
    assert_eq!(tick_at(&bench, 1).await, 0, "the clock was corrected");
    assert_eq!(schedules(&bench).get("s").await.unwrap().unwrap().next, Some(DUE.after(Duration::from_secs(60))));
    assert_eq!(tick_at(&bench, 60).await, 1);
    // The time that ran by the wrong clock runs again.
    assert_eq!(tick_at(&bench, year).await, 1);
}

pub async fn a_pause_of_hours_after_reading_the_clock_is_no_set_back(bench: Bench) {
    schedules(&bench).put(minutely("s")).await.unwrap();
    // This one read the clock, and paused for a day before it read the schedules.
    let long_ago = DUE.after(Duration::from_secs(1));
    let day = 86_401;
    assert_eq!(tick_at(&bench, day).await, 1);
    let before = bench.broker.document("cron", "s").await.unwrap();
    let ticked = scheduler(&bench).tick(long_ago).await.unwrap();
    assert_eq!((ticked.enqueued, ticked.failed.len()), (0, 0));
    assert_eq!(bench.broker.document("cron", "s").await.unwrap(), before);
}

pub async fn an_unreadable_schedule_holds_back_no_other(bench: Bench) {
    schedules(&bench).put(minutely("good")).await.unwrap();
    for (name, text) in [("newer", r#"{"of":"a newer version"}"#), ("torn", "{")] {
        assert!(bench.broker.put_document("cron", name, None, Some(text.to_owned())).await.unwrap());
    }
    bench.clock.set(DUE);
    let ticked = scheduler(&bench).tick(DUE).await.unwrap();
    assert_eq!((ticked.schedules, ticked.enqueued), (3, 1));
    assert_eq!(ticked.failed.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["newer", "torn"]);
    let listing = schedules(&bench).list().await.unwrap();
    assert_eq!(listing.schedules.len(), 1);
    assert_eq!(listing.broken.iter().map(|broken| broken.name.as_str()).collect::<Vec<_>>(), ["newer", "torn"]);
    assert!(schedules(&bench).get("torn").await.is_err());
    // Replaced, or removed.
    schedules(&bench).put(minutely("torn")).await.unwrap();
    assert!(schedules(&bench).remove("newer").await.unwrap());
    assert!(schedules(&bench).list().await.unwrap().broken.is_empty());
}

pub async fn a_thousand_schedules_cost_one_read_while_nothing_is_due(bench: Bench) {
    for n in 0..1_000 {
        schedules(&bench).put(minutely(&format!("s{n:04}"))).await.unwrap();
    }
    let unsteady = Unsteady::new(bench.broker.clone(), 1);
    let counting: Arc<dyn Broker> = unsteady.clone();
    let idle = Scheduler::new(counting).tick(bench.now()).await.unwrap();
    assert_eq!((idle.schedules, idle.enqueued, idle.next), (1_000, 0, Some(DUE)));
    assert_eq!(unsteady.reads.load(Ordering::Relaxed), 1);
    assert_eq!(unsteady.others.load(Ordering::Relaxed), 0);

    assert_eq!(tick_at(&bench, 0).await, 1_000);
    assert_eq!(tick_at(&bench, 1).await, 0);
    assert_eq!(bench.broker.counts(QUEUE).await.unwrap().ready, 1_000);
}
