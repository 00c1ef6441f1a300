//! Random histories with all links between jobs. Each durable broker must agree with the memory
//! broker.
#![cfg(any(feature = "redis", feature = "sqlite"))]
#![allow(clippy::unwrap_used, reason = "a test ends where it is surprised")]

mod support;

use std::time::Duration;

use proptest::prelude::*;
use support::{Bench, LEASE, QUEUE, ack, ids, reclaim, retry};
use tidegate_queue::{
    CleanableState, EnqueueOptions, EventCursor, GroupId, JobId, JobState, LeasedJob, Nack, NackAction, NewJob,
    Priority, Progress, QueueSettings, Rate, Retention, Unique, Wake,
};

#[derive(Clone, Debug)]
struct Add {
    id: u8,
    delay: u64,
    priority: u8,
    order: Option<u8>,
    unique: Option<(u8, u8, Option<u64>)>,
    group: Option<u8>,
}

impl Add {
    fn job(&self) -> NewJob {
        let id = JobId::new(format!("job{}", self.id)).unwrap();
        let mut options = EnqueueOptions::new().id(id).priority(Priority::try_new(self.priority).unwrap());
        if self.delay > 0 {
            options = options.delay(Duration::from_secs(self.delay));
        }
        if let Some(key) = self.order {
            options = options.ordering_key(format!("line {key} \"ä"));
        }
        if let Some((key, mode, hold)) = self.unique {
            let mut unique = Unique::new(format!("key {key}"));
            unique = match mode {
                0 => unique,
                1 => unique.replace(),
                _ => unique.debounce(),
            };
            options = options.unique(hold.map_or(unique.clone(), |hold| unique.hold_for(Duration::from_secs(hold))));
        }
        if let Some(group) = self.group {
            options = options.group(GroupId::new(format!("g{group}")).unwrap());
        }
        NewJob::new("test", &serde_json::json!({ "n": self.id }), options, 1_000).unwrap()
    }
}

#[derive(Clone, Debug)]
enum Action {
    Enqueue(Vec<Add>),
    Exchange(Vec<usize>, usize),
    Nack(usize, u8),
    Progress(usize, u8),
    Checkpoint(usize),
    Log(usize, usize),
    Tick,
    Promote,
    Cancel(usize),
    Revive(usize),
    Remove(usize),
    Drain(usize),
    RetryDead,
    Clean,
    Prune,
    Configure(Option<u32>, Option<(u32, u64)>),
    Forget(u8),
    Look,
}

fn add() -> impl Strategy<Value = Add> {
    let unique = (0u8..2, 0u8..3, prop::option::weighted(0.3, 1u64..40));
    let links = (prop::option::of(0u8..2), prop::option::weighted(0.4, unique), prop::option::weighted(0.4, 0u8..2));
    (0u8..40, prop_oneof![3 => Just(0), 1 => 1u64..20], 0u8..5, links)
        .prop_map(|(id, delay, priority, (order, unique, group))| Add { id, delay, priority, order, unique, group })
}

/// A batch in which an id may occur twice: the ordering key is part of the id.
fn enqueue(mut adds: Vec<Add>, twice: bool) -> Action {
    if let ([first, .., last], true) = (&mut *adds, twice) {
        (last.id, last.order) = (first.id, first.order);
    }
    Action::Enqueue(adds)
}

fn action() -> impl Strategy<Value = Action> {
    let token = 0usize..8;
    let rate = prop::option::of((1u32..4, 1_000u64..20_000));
    prop_oneof![
        6 => (prop::collection::vec(add(), 0..4), prop::bool::weighted(0.2)).prop_map(|(adds, twice)| enqueue(adds, twice)),
        8 => (prop::collection::vec(token.clone(), 0..4), 0usize..4).prop_map(|(acks, max)| Action::Exchange(acks, max)),
        4 => (token.clone(), 0u8..6).prop_map(|(token, how)| Action::Nack(token, how)),
        1 => (token.clone(), 0u8..100).prop_map(|(token, percent)| Action::Progress(token, percent)),
        1 => token.clone().prop_map(Action::Checkpoint),
        1 => (token.clone(), 0usize..130).prop_map(|(token, lines)| Action::Log(token, lines)),
        5 => Just(Action::Tick),
        2 => Just(Action::Promote),
        3 => (0usize..20).prop_map(Action::Cancel),
        3 => (0usize..20).prop_map(Action::Revive),
        2 => (0usize..20).prop_map(Action::Remove),
        1 => (0usize..5).prop_map(Action::Drain),
        1 => Just(Action::RetryDead),
        1 => Just(Action::Clean),
        1 => Just(Action::Prune),
        1 => (prop::option::of(0u32..4), rate).prop_map(|(most, rate)| Action::Configure(most, rate)),
        1 => (0u8..2).prop_map(Action::Forget),
        2 => Just(Action::Look),
    ]
}

/// Plays a history on one broker and returns its answers as text.
struct Player {
    bench: Bench,
    held: Vec<LeasedJob>,
    known: Vec<JobId>,
    cursor: Option<EventCursor>,
}

impl Player {
    fn new(bench: Bench) -> Self {
        Self { bench, held: Vec::new(), known: Vec::new(), cursor: None }
    }

    fn leased(&self, nth: usize) -> Option<&LeasedJob> {
        self.held.iter().rev().nth(nth)
    }

    async fn play(&mut self, action: &Action) -> String {
        let broker = self.bench.broker.clone();
        let known = |nth: usize| self.known.iter().rev().nth(nth).cloned();
        match action {
            Action::Enqueue(adds) => {
                let jobs: Vec<NewJob> = adds.iter().map(Add::job).collect();
                for job in &jobs {
                    if !self.known.contains(job.id()) {
                        self.known.push(job.id().clone());
                    }
                }
                format!("{:?}", broker.enqueue(QUEUE, jobs).await.unwrap())
            }
            Action::Exchange(acks, max) => {
                let acks = acks.iter().filter_map(|nth| self.leased(*nth)).map(|job| ack(&job.token)).collect();
                let (settled, leased) = self.bench.exchange(acks, *max).await;
                let words = leased.iter().map(|job| {
                    let LeasedJob { token, failures, ready_at, created_at, checkpoint, group, .. } = job;
                    format!("{} {failures} {ready_at} {created_at} {checkpoint:?} {group:?}", token.delivery)
                });
                let words: Vec<_> = words.collect();
                let answer = format!("{settled:?} {:?} {words:?}", ids(&leased));
                self.held.extend(leased);
                answer
            }
            Action::Nack(nth, how) => {
                let Some(job) = self.leased(*nth) else { return String::new() };
                let action = match how {
                    0 => retry(0),
                    1 => retry(7),
                    2 => NackAction::Snooze { delay: Duration::from_secs(3), note: Some("later".to_owned()) },
                    3 => NackAction::Dead { error: "x".to_owned() },
                    4 => NackAction::Release,
                    _ => NackAction::Discard { reason: "no".to_owned() },
                };
                let nack = Nack { token: job.token.clone(), action };
                format!("{:?}", broker.nack(QUEUE, vec![nack]).await.unwrap())
            }
            Action::Progress(nth, percent) => {
                let Some(job) = self.leased(*nth) else { return String::new() };
                let progress = Progress { percent: *percent, message: "so far".to_owned() };
                format!("{}", broker.progress(QUEUE, &job.token, progress).await.unwrap())
            }
            Action::Checkpoint(nth) => {
                let Some(job) = self.leased(*nth) else { return String::new() };
                let text = format!("|row {nth}| é");
                format!("{}", broker.checkpoint(QUEUE, &job.token, text).await.unwrap())
            }
            Action::Log(nth, lines) => {
                let Some(job) = self.leased(*nth) else { return String::new() };
                let lines = (0..*lines).map(|line| format!("line {line}")).collect();
                let held = broker.log(QUEUE, &job.token, lines).await.unwrap();
                format!("{held} {:?}", broker.logs(QUEUE, &job.token.id).await.unwrap())
            }
            Action::Tick => {
                self.bench.advance(5);
                let mut taken = broker.reclaim(QUEUE, reclaim(2)).await.unwrap();
                taken.ready.sort();
                taken.dead.sort();
                taken.cancelled.sort();
                format!("{:?} {:?} {:?} {}", taken.ready, taken.dead, taken.cancelled, taken.guarded)
            }
            Action::Promote => format!("{:?}", broker.promote(QUEUE, 100).await.unwrap()),
            Action::Cancel(nth) => match known(*nth) {
                Some(id) => format!("{:?}", broker.cancel(QUEUE, &id).await.unwrap()),
                None => String::new(),
            },
            Action::Remove(nth) => match known(*nth) {
                Some(id) => format!("{:?}", broker.remove(QUEUE, &[id]).await.unwrap()),
                None => String::new(),
            },
            Action::Revive(nth) => match known(*nth) {
                Some(id) => format!("{:?}", broker.retry(QUEUE, &id).await.unwrap()),
                None => String::new(),
            },
            Action::Drain(limit) => format!("{}", broker.drain(QUEUE, *limit).await.unwrap()),
            Action::RetryDead => format!("{}", broker.retry_dead(QUEUE, 100).await.unwrap()),
            Action::Clean => {
                let mut removed = Vec::new();
                for state in [CleanableState::Done, CleanableState::Dead, CleanableState::Cancelled] {
                    removed.push(broker.clean(QUEUE, state, Duration::from_secs(12), 100).await.unwrap());
                }
                format!("{removed:?}")
            }
            Action::Prune => {
                // Each broker chooses the order among jobs that ended at the same time. So prune by
                // age alone.
                let retention = Retention { done_for: LEASE, dead_for: LEASE, ..Retention::default() };
                format!("{}", broker.prune(QUEUE, retention, 100).await.unwrap())
            }
            Action::Configure(max_running, rate) => {
                let rate = rate.map(|(jobs, ms)| Rate::new(jobs, Duration::from_millis(ms)).unwrap());
                let settings = QueueSettings { max_running: *max_running, rate, events: true };
                broker.configure(QUEUE, settings.clone()).await.unwrap();
                assert_eq!(broker.settings(QUEUE).await.unwrap(), settings);
                String::new()
            }
            Action::Forget(group) => {
                broker.forget_group(QUEUE, &GroupId::new(format!("g{group}")).unwrap()).await.unwrap();
                String::new()
            }
            // Real timers handle due times, so the test only checks whether there is work.
            Action::Look => {
                let queues = [QUEUE.to_owned()];
                let woken = broker.wait(&queues, Duration::ZERO).await.unwrap();
                format!("{}", woken == Wake::Ready)
            }
        }
    }

    async fn state(&mut self) -> String {
        let broker = &self.bench.broker;
        let mut words = vec![format!("{:?}", broker.counts(QUEUE).await.unwrap())];
        for state in JobState::ALL {
            let mut listed: Vec<_> = broker.list(QUEUE, state, None, 100).await.unwrap().items;
            if state.is_finished() || state == JobState::Leased {
                // Each broker chooses the order of jobs with the same time.
                listed.sort_by(|a, b| a.id.cmp(&b.id));
            }
            let listed: Vec<_> = listed.iter().map(|record| format!("{record:?} {:?}", record.checkpoint)).collect();
            words.push(format!("{state} {}", listed.join("\n  ")));
        }
        for group in ["g0", "g1"] {
            words.push(format!("{:?}", broker.group(QUEUE, &GroupId::new(group).unwrap()).await.unwrap()));
        }
        let page = broker.events(QUEUE, self.cursor.as_ref().cloned(), 500).await.unwrap();
        self.cursor = Some(page.cursor);
        let mut events: Vec<_> = page.events.iter().map(|event| format!("{event:?}")).collect();
        events.sort();
        words.push(format!("{events:?}"));
        for id in &self.known {
            words.push(format!("{:?}", broker.job(QUEUE, id).await.unwrap()));
        }
        words.join("\n")
    }
}

fn without_holders(words: &str) -> String {
    // The note of an expired lease names its worker, which is different in each bench.
    let mut parts = words.split("lease expired at worker ");
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        text.push_str(&part[16..]);
    }
    text
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

fn config() -> ProptestConfig {
    let cases = std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok());
    let cases = cases.unwrap_or_else(|| u32::try_from(tidegate_testkit::scale(16, 1_000)).unwrap());
    ProptestConfig { failure_persistence: None, max_shrink_iters: 50, ..ProptestConfig::with_cases(cases) }
}

/// Plays the same history on both, and compares all visible state after each step.
async fn compare(actions: &[Action], other: Bench) {
    let (mut memory, mut other) = (Player::new(Bench::memory()), Player::new(other));
    for (nth, action) in actions.iter().enumerate() {
        let (expected, found) = (memory.play(action).await, other.play(action).await);
        assert_eq!(found, expected, "step {nth} {action:?}");
        let (expected, found) = (memory.state().await, other.state().await);
        assert_eq!(without_holders(&found), without_holders(&expected), "after step {nth} {action:?}");
    }
}

#[cfg(feature = "redis")]
#[test]
fn redis_agrees_with_memory() {
    let servers = runtime();
    let server = servers.block_on(tidegate_testkit::redis::RedisServer::start());
    proptest!(config(), |(actions in prop::collection::vec(action(), 1..80))| {
        runtime().block_on(async { compare(&actions, Bench::on_redis(&server.url()).await).await });
    });
}

#[cfg(feature = "sqlite")]
#[test]
fn sqlite_agrees_with_memory() {
    proptest!(config(), |(actions in prop::collection::vec(action(), 1..80))| {
        runtime().block_on(async { compare(&actions, Bench::sqlite().await).await });
    });
}
