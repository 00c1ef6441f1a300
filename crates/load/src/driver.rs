//! Sends the requests of a scenario.

use std::hash::{DefaultHasher, Hasher};
use std::iter::successors;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use serde::Serialize;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::arrivals::{Arrivals, InFlight};
use crate::{Answer, Api, Figures, Recorder, Scenario};

/// How requests follow one another.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// This number of requests per second, on a schedule.
    Open {
        /// Requests a second.
        rate: f64,
    },
    /// This number of users. Each sends the next request when the last one is answered.
    Closed {
        /// Concurrent users.
        users: u64,
    },
    /// This number of users, all at the same moment, one request each.
    AtOnce {
        /// Users.
        users: u64,
    },
}

/// One run.
#[derive(Debug, Serialize)]
pub struct Run {
    /// How requests followed one another.
    pub mode: Mode,
    /// Its length in seconds.
    pub seconds: f64,
    /// Figures by operation.
    pub figures: Vec<Figures>,
}

/// One turn of one user: a request, or several that follow one another.
pub struct Turn {
    /// The processes.
    pub api: Api,
    /// Its number; each is given once, over all runs of a program.
    pub number: u64,
    started: Instant,
    recorder: Recorder,
    has_failed_call: bool,
}

impl Turn {
    /// A hash of the number: neighbours in time have nothing in common.
    pub fn shuffled(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        hasher.write_u64(self.number);
        hasher.finish()
    }

    /// Makes a call and records it. The first call of a turn counts from its scheduled time.
    ///
    /// # Errors
    ///
    /// The call's error.
    pub async fn call(
        &mut self,
        operation: &'static str,
        call: impl Future<Output = anyhow::Result<Answer>>,
    ) -> anyhow::Result<Answer> {
        self.call_named(|_| operation, call).await
    }

    /// Makes a call whose answer says which operation it was, and records it.
    ///
    /// # Errors
    ///
    /// The call's error.
    pub async fn call_named(
        &mut self,
        operation: impl FnOnce(&anyhow::Result<Answer>) -> &'static str,
        call: impl Future<Output = anyhow::Result<Answer>>,
    ) -> anyhow::Result<Answer> {
        let answer = call.await;
        let now = Instant::now();
        self.recorder.record(operation(&answer), now - self.started, &answer);
        self.started = now;
        self.has_failed_call |= answer.is_err();
        answer
    }

    /// Makes several calls at the same moment, and records each.
    ///
    /// # Errors
    ///
    /// The error of the first failed call.
    pub async fn call_at_once(
        &mut self,
        operation: &'static str,
        calls: impl IntoIterator<Item = impl Future<Output = anyhow::Result<Answer>>>,
    ) -> anyhow::Result<Vec<Answer>> {
        let (started, recorder) = (self.started, &self.recorder);
        let calls = calls.into_iter().map(async |call| {
            let answer = call.await;
            recorder.record(operation, Instant::now() - started, &answer);
            answer
        });
        let answers = join_all(calls).await;
        self.started = Instant::now();
        self.has_failed_call |= answers.iter().any(Result::is_err);
        answers.into_iter().collect()
    }
}

/// Gives turns to the users of one scenario.
pub struct Driver {
    scenario: Arc<dyn Scenario>,
    api: Api,
    next: Arc<AtomicU64>,
}

impl Driver {
    /// A driver of `scenario` on `api`.
    pub fn new(scenario: Arc<dyn Scenario>, api: Api) -> Self {
        Self { scenario, api, next: Arc::default() }
    }

    /// Sends requests for `duration`, and waits for all answers.
    pub async fn run(&self, mode: Mode, duration: Duration, progress: impl Fn(Duration, u64)) -> Run {
        let recorder = Recorder::default();
        let started = Instant::now();
        let work = async {
            match mode {
                Mode::Open { rate } => self.open(rate, duration, &recorder).await,
                Mode::Closed { users } => self.closed(users, duration, &recorder).await,
                Mode::AtOnce { users } => {
                    let turns: JoinSet<()> = (0..users).map(|_| self.turn(started, &recorder)).collect();
                    turns.join_all().await;
                }
            }
        };
        let ticks = async {
            let mut tick = tokio::time::interval(Duration::from_secs(1));
            loop {
                tick.tick().await;
                progress(started.elapsed(), recorder.count());
            }
        };
        tokio::select! {
            () = work => {}
            () = ticks => {}
        }
        let elapsed = started.elapsed();
        Run { mode, seconds: elapsed.as_secs_f64(), figures: recorder.figures(elapsed) }
    }

    async fn open(&self, rate: f64, duration: Duration, recorder: &Recorder) {
        let interval = Duration::from_secs_f64(1.0 / rate);
        let offsets = successors(Some(Duration::ZERO), move |offset| Some(*offset + interval));
        let mut arrivals = Arrivals::start(offsets.take_while(move |offset| *offset < duration));
        let mut turns = InFlight::default();
        while let Some(scheduled) = arrivals.next().await {
            turns.spawn(self.turn(scheduled, recorder)).await;
        }
        turns.join_all().await;
    }

    async fn closed(&self, users: u64, duration: Duration, recorder: &Recorder) {
        let end = Instant::now() + duration;
        let mut sessions = JoinSet::new();
        for _ in 0..users {
            let driver = Self { scenario: self.scenario.clone(), api: self.api.clone(), next: self.next.clone() };
            let recorder = recorder.clone();
            sessions.spawn(async move {
                while Instant::now() < end {
                    driver.turn(Instant::now(), &recorder).await;
                }
            });
        }
        sessions.join_all().await;
    }

    fn turn(&self, started: Instant, recorder: &Recorder) -> impl Future<Output = ()> + Send + 'static {
        let scenario = self.scenario.clone();
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let (api, recorder) = (self.api.clone(), recorder.clone());
        let mut turn = Turn { api, number, started, recorder, has_failed_call: false };
        async move {
            // The error of a failed call is recorded. Any other one is a wrong answer.
            if let Err(error) = scenario.turn(&mut turn).await
                && !turn.has_failed_call
            {
                turn.recorder.record::<()>("turn", Duration::ZERO, &Err(error));
            }
        }
    }
}
