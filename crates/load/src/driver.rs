//! Sends the requests of a scenario.

mod mode;
mod turn;

use std::iter::successors;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde::Serialize;
use tokio::task::JoinSet;
use tokio::time::Instant;

pub use self::mode::Mode;
pub use self::turn::Turn;
use crate::arrivals::{Arrivals, InFlight};
use crate::{Api, Figures, Recorder, Scenario};

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
        let mut turn = Turn::new(self.api.clone(), number, started, recorder.clone());
        async move {
            let ended = scenario.turn(&mut turn).await;
            turn.end(ended);
        }
    }
}
