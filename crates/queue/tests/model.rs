//! Random histories: all brokers must agree with a model that knows only the legal transitions.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test ends where it is surprised")]

mod support;

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;
use support::{Bench, LEASE, QUEUE, TICK, job, reclaim, retry};
use tidegate_queue::{
    Change, CleanableState, EnqueueOptions, JobId, JobState, LeaseToken, NackAction, Priority, Settled, Stored,
};

const MAX_LOST: u32 = 2;

#[derive(Clone, Debug)]
enum Action {
    Enqueue { id: u8, delay: u64, priority: u8 },
    Fetch(usize),
    Ack(usize),
    Retry(usize, u64),
    Snooze(usize, u64),
    Bury(usize),
    Discard(usize),
    Release(usize),
    Heartbeat(usize),
    Tick,
    Pause(u64),
    Promote,
    Cancel(u8),
    Revive(u8),
    Clean,
}

fn action() -> impl Strategy<Value = Action> {
    let token = 0usize..12;
    let id = 0u8..6;
    prop_oneof![
        4 => (id.clone(), prop_oneof![Just(0), 1u64..40], 0u8..5)
            .prop_map(|(id, delay, priority)| Action::Enqueue { id, delay, priority }),
        5 => (0usize..4).prop_map(Action::Fetch),
        4 => token.clone().prop_map(Action::Ack),
        2 => (token.clone(), 0u64..20).prop_map(|(token, delay)| Action::Retry(token, delay)),
        1 => (token.clone(), 0u64..20).prop_map(|(token, delay)| Action::Snooze(token, delay)),
        1 => token.clone().prop_map(Action::Bury),
        1 => token.clone().prop_map(Action::Discard),
        1 => token.clone().prop_map(Action::Release),
        2 => token.prop_map(Action::Heartbeat),
        6 => Just(Action::Tick),
        1 => (1u64..90).prop_map(Action::Pause),
        2 => Just(Action::Promote),
        2 => id.clone().prop_map(Action::Cancel),
        2 => id.prop_map(Action::Revive),
        1 => Just(Action::Clean),
    ]
}

struct Known {
    state: JobState,
    priority: u8,
    /// Time it became ready, due time or deadline, in seconds.
    at: u64,
    ready_at: u64,
    born: usize,
    delivery: u32,
    /// The latest lease, unless it was reclaimed.
    lease: Option<LeaseToken>,
    lost: u32,
    cancel: bool,
}

#[derive(Default)]
struct Model {
    now: u64,
    born: usize,
    jobs: BTreeMap<String, Known>,
    tokens: Vec<LeaseToken>,
    maintained: Option<u64>,
    reclaim_from: u64,
    completed: u64,
    failed: u64,
    retried: u64,
    reclaimed: u64,
    stale: u64,
}

impl Model {
    fn settle(&mut self, token: &LeaseToken, state: JobState, due: u64) -> Settled {
        let now = self.now;
        let Some(job) = self.jobs.get_mut(token.id.as_str()).filter(|j| j.lease.as_ref() == Some(token)) else {
            self.stale += 1;
            return Settled::Superseded;
        };
        if job.state != JobState::Leased {
            return Settled::Before;
        }
        let back = matches!(state, JobState::Ready | JobState::Delayed);
        // A job whose cancellation was requested is cancelled now, not when the retry would have
        // been due.
        (job.state, job.at) = if back && job.cancel { (JobState::Cancelled, now) } else { (state, due) };
        if job.state == JobState::Delayed {
            job.ready_at = due;
            if due <= now {
                job.state = JobState::Ready;
            }
        }
        Settled::Now
    }

    fn put_off(&mut self, token: &LeaseToken, delay: u64) -> Settled {
        self.settle(token, JobState::Delayed, self.now + delay)
    }

    fn expire(&mut self) -> usize {
        let now = self.now;
        let last = self.maintained.replace(now);
        if self.count(JobState::Leased) == 0 {
            self.reclaim_from = now;
            return 0;
        }
        if last.is_none_or(|last| now - last > 2 * TICK.as_secs()) {
            self.reclaim_from = now + LEASE.as_secs();
        }
        if now < self.reclaim_from {
            return 0;
        }
        let mut taken = 0;
        for job in self.jobs.values_mut().filter(|j| j.state == JobState::Leased && j.at <= now) {
            taken += 1;
            self.reclaimed += 1;
            job.lost += 1;
            job.lease = None;
            (job.at, job.ready_at) = (now, if job.cancel { job.ready_at } else { now });
            job.state = if job.cancel {
                JobState::Cancelled
            } else if job.lost >= MAX_LOST {
                self.failed += 1;
                JobState::Dead
            } else {
                JobState::Ready
            };
        }
        taken
    }

    fn next_ready(&self, max: usize) -> Vec<String> {
        let mut ready: Vec<_> = self.jobs.iter().filter(|(_, job)| job.state == JobState::Ready).collect();
        ready.sort_by_key(|(_, job)| (job.priority, job.at, job.born));
        ready.into_iter().take(max).map(|(id, _)| id.clone()).collect()
    }

    fn count(&self, state: JobState) -> u64 {
        self.jobs.values().filter(|job| job.state == state).count() as u64
    }
}

async fn play(bench: &Bench, actions: &[Action]) {
    let mut model = Model::default();
    for action in actions {
        step(bench, &mut model, action).await;
        compare(bench, &model, action).await;
    }
}

async fn step(bench: &Bench, model: &mut Model, action: &Action) {
    let token = |n: usize| model.tokens.iter().rev().nth(n).cloned();
    match action {
        Action::Enqueue { id, delay, priority } => {
            let options = EnqueueOptions::new()
                .delay(Duration::from_secs(*delay))
                .priority(Priority::try_new(*priority).unwrap());
            let id = format!("job{id}");
            let stored = bench.broker.enqueue(QUEUE, vec![job(&id, options)]).await.unwrap();
            assert_eq!(stored == [Stored::Existing], model.jobs.contains_key(&id));
            model.born += 1;
            model.maintained.get_or_insert(model.now);
            let (at, born) = (model.now + delay, model.born);
            model.jobs.entry(id).or_insert(Known {
                state: if *delay == 0 { JobState::Ready } else { JobState::Delayed },
                priority: *priority,
                at,
                ready_at: at,
                born,
                delivery: 0,
                lease: None,
                lost: 0,
                cancel: false,
            });
        }
        Action::Fetch(max) => {
            let leased = bench.fetch(*max).await;
            assert_eq!(support::ids(&leased), model.next_ready(*max));
            for leased in leased {
                let known = model.jobs.get_mut(leased.token.id.as_str()).unwrap();
                known.state = JobState::Leased;
                known.at = model.now + LEASE.as_secs();
                known.delivery += 1;
                assert_eq!(leased.token.delivery, known.delivery);
                known.lease = Some(leased.token.clone());
                model.tokens.push(leased.token);
            }
        }
        Action::Ack(n) => {
            let Some(token) = token(*n) else { return };
            let expected = model.settle(&token, JobState::Done, model.now);
            model.completed += u64::from(expected == Settled::Now);
            assert_eq!(bench.ack(&token).await, expected);
        }
        Action::Retry(n, delay) => {
            let Some(token) = token(*n) else { return };
            let expected = model.put_off(&token, *delay);
            let back = model.jobs.get(token.id.as_str()).is_some_and(|j| j.state != JobState::Cancelled);
            model.retried += u64::from(expected == Settled::Now && back);
            assert_eq!(bench.nack(&token, retry(*delay)).await, expected);
        }
        Action::Snooze(n, delay) => {
            let Some(token) = token(*n) else { return };
            let expected = model.put_off(&token, *delay);
            let delay = Duration::from_secs(*delay);
            let snooze = NackAction::Snooze { delay, note: None };
            assert_eq!(bench.nack(&token, snooze).await, expected);
        }
        Action::Bury(n) => {
            let Some(token) = token(*n) else { return };
            let expected = model.settle(&token, JobState::Dead, model.now);
            model.failed += u64::from(expected == Settled::Now);
            let dead = NackAction::Dead { error: "x".to_owned() };
            assert_eq!(bench.nack(&token, dead).await, expected);
        }
        Action::Discard(n) => {
            let Some(token) = token(*n) else { return };
            let expected = model.settle(&token, JobState::Cancelled, model.now);
            let discard = NackAction::Discard { reason: "x".to_owned() };
            assert_eq!(bench.nack(&token, discard).await, expected);
        }
        Action::Release(n) => {
            let Some(token) = token(*n) else { return };
            let place =
                model.jobs.get(token.id.as_str()).map_or(0, |job| if job.cancel { model.now } else { job.ready_at });
            let expected = model.settle(&token, JobState::Ready, place);
            assert_eq!(bench.nack(&token, NackAction::Release).await, expected);
        }
        Action::Heartbeat(n) => {
            let Some(token) = token(*n) else { return };
            let beat = bench.broker.heartbeat(QUEUE, vec![token.clone()], LEASE).await.unwrap();
            let held = model
                .jobs
                .get_mut(token.id.as_str())
                .filter(|job| job.state == JobState::Leased && job.lease.as_ref() == Some(&token));
            assert_eq!(beat.lost.is_empty(), held.is_some());
            if let Some(job) = held {
                job.at = model.now + LEASE.as_secs();
                assert_eq!(!beat.cancelled.is_empty(), job.cancel);
            }
        }
        Action::Tick | Action::Pause(_) => {
            let seconds = if let Action::Pause(seconds) = action { *seconds } else { TICK.as_secs() };
            bench.advance(seconds);
            model.now += seconds;
            let expected = model.expire();
            let round = bench.broker.reclaim(QUEUE, reclaim(MAX_LOST)).await.unwrap();
            assert_eq!(round.ready.len() + round.dead.len() + round.cancelled.len(), expected);
            if model.born == 0 {
                // The queue doesn't exist yet, so the broker stored nothing about this round.
                model.maintained = None;
            }
        }
        Action::Promote => {
            bench.broker.promote(QUEUE, 100).await.unwrap();
            let now = model.now;
            for job in model.jobs.values_mut() {
                if job.state == JobState::Delayed && job.at <= now {
                    job.state = JobState::Ready;
                    job.ready_at = job.at;
                }
            }
        }
        Action::Cancel(id) => {
            let id = format!("job{id}");
            let change = bench.broker.cancel(QUEUE, &JobId::new(&id).unwrap()).await.unwrap();
            let now = model.now;
            let expected = match model.jobs.get_mut(&id) {
                None => Change::NotFound,
                Some(job) => match job.state {
                    JobState::Ready | JobState::Delayed => {
                        (job.state, job.at) = (JobState::Cancelled, now);
                        Change::Applied
                    }
                    JobState::Leased => {
                        job.cancel = true;
                        Change::Requested
                    }
                    other => Change::Refused(other),
                },
            };
            assert_eq!(change, expected);
        }
        Action::Revive(id) => {
            let id = format!("job{id}");
            let change = bench.broker.retry(QUEUE, &JobId::new(&id).unwrap()).await.unwrap();
            let now = model.now;
            let expected = match model.jobs.get_mut(&id) {
                None => Change::NotFound,
                Some(job) => match job.state {
                    JobState::Delayed | JobState::Dead | JobState::Cancelled => {
                        if job.state != JobState::Delayed {
                            (job.lease, job.lost, job.cancel) = (None, 0, false);
                        }
                        (job.state, job.at, job.ready_at) = (JobState::Ready, now, now);
                        Change::Applied
                    }
                    other => Change::Refused(other),
                },
            };
            assert_eq!(change, expected);
        }
        Action::Clean => {
            for state in [CleanableState::Done, CleanableState::Dead, CleanableState::Cancelled] {
                let removed = bench.broker.clean(QUEUE, state, Duration::from_secs(10), 100).await;
                let before = model.jobs.len();
                let now = model.now;
                model.jobs.retain(|_, job| job.state != state.into() || job.at + 10 > now);
                assert_eq!(removed.unwrap(), before - model.jobs.len());
            }
        }
    }
}

async fn compare(bench: &Bench, model: &Model, action: &Action) {
    let counts = bench.broker.counts(QUEUE).await.unwrap();
    let states =
        [counts.ready, counts.delayed, counts.waiting, counts.leased, counts.done, counts.dead, counts.cancelled];
    assert_eq!(states, JobState::ALL.map(|state| model.count(state)), "{action:?}");
    let totals = [
        counts.completed_total,
        counts.failed_total,
        counts.retried_total,
        counts.reclaimed_total,
        counts.stale_acks_total,
    ];
    let expected = [model.completed, model.failed, model.retried, model.reclaimed, model.stale];
    assert_eq!(totals, expected, "{action:?}");
    for (id, known) in &model.jobs {
        let record = bench.record(&JobId::new(id).unwrap()).await;
        assert_eq!((record.state, record.deliveries), (known.state, known.delivery), "{id} {action:?}");
        assert_eq!(record.finished_at.is_some(), known.state.is_finished(), "{id} {action:?}");
    }
    let oldest = model.jobs.values().filter(|j| j.state == JobState::Ready).map(|j| j.at).min();
    let age = oldest.map(|at| Duration::from_secs(model.now - at));
    assert_eq!(counts.oldest_ready_age, age, "{action:?} at {}", bench.now());
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(300) })]
    #[test]
    fn memory_agrees_with_the_model(actions in prop::collection::vec(action(), 1..80)) {
        runtime().block_on(async { play(&Bench::memory(), &actions).await });
    }
}

#[cfg(feature = "sqlite")]
proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(40) })]
    #[test]
    fn sqlite_agrees_with_the_model(actions in prop::collection::vec(action(), 1..80)) {
        runtime().block_on(async { play(&Bench::sqlite().await, &actions).await });
    }
}

/// One server for all histories, each with its own prefix.
#[cfg(feature = "redis")]
#[test]
fn redis_agrees_with_the_model() {
    let servers = runtime();
    let server = servers.block_on(tidegate_testkit::redis::RedisServer::start());
    let config = ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(60) };
    proptest!(config, |(actions in prop::collection::vec(action(), 1..80))| {
        runtime().block_on(async { play(&Bench::on_redis(&server.url()).await, &actions).await });
    });
}
