//! The queue on Redis compared with its peers in Rust, `bullmq-official` and `apalis-redis`: on one
//! server, in turns.
//!
//! Every turn empties the server and connects anew. A round gives each a turn at each measurement,
//! and each round begins with another of them. The table shows medians of the rounds, and the
//! ratios of turns of the same round. The server writes an append-only file, synced each second,
//! for all alike.
//!
//! Words on the command line select measurements and queues by name: `-- process tidegate`. With
//! `TIDEGATE_BENCH_QUICK=1` a reduced run shows that everything works.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "the table is what it is run for")]

mod apalis;
mod bullmq;
mod gauge;
mod measure;
mod ours;
mod peer;
mod report;

use std::env;
use std::panic::AssertUnwindSafe;

use futures_util::FutureExt;
use tidegate_benches::Stopwatch;
use tidegate_testkit::redis::RedisServer;
use tokio::runtime::Runtime;

use crate::gauge::Gauge;
use crate::measure::{Sizes, Turn};
use crate::peer::Who;
use crate::report::Report;

#[derive(Clone, Copy)]
enum Measurement {
    Process(usize),
    Bulk,
    Single,
    PickUp,
    Lateness,
    Memory(usize),
    Idle,
}

impl Measurement {
    const ALL: [Self; 10] = [
        Self::Process(1),
        Self::Process(10),
        Self::Process(100),
        Self::Bulk,
        Self::Single,
        Self::PickUp,
        Self::Lateness,
        Self::Memory(60),
        Self::Memory(200),
        Self::Idle,
    ];

    fn name(self) -> String {
        match self {
            Self::Process(concurrency) => format!("process-{concurrency}"),
            Self::Bulk => "bulk".to_owned(),
            Self::Single => "single".to_owned(),
            Self::PickUp => "pick-up".to_owned(),
            Self::Lateness => "lateness".to_owned(),
            Self::Memory(bytes) => format!("memory-{bytes}"),
            Self::Idle => "idle".to_owned(),
        }
    }

    /// Whether it has a turn in this round. The first round warms up the short measurements.
    fn has_turn(self, round: usize, sizes: &Sizes) -> bool {
        match self {
            Self::Process(_) | Self::Bulk | Self::Single => round <= sizes.rounds,
            Self::PickUp | Self::Lateness => (1..=sizes.slow_rounds).contains(&round),
            Self::Memory(_) | Self::Idle => (1..=sizes.steady_rounds).contains(&round),
        }
    }

    /// Whether the fate of completed jobs matters.
    fn finishes(self) -> bool {
        matches!(self, Self::Process(_))
    }

    async fn take(self, mut turn: Turn<'_>) {
        match self {
            Self::Process(concurrency) => turn.process(concurrency).await,
            Self::Bulk => turn.bulk().await,
            Self::Single => turn.single().await,
            Self::PickUp => turn.pick_up().await,
            Self::Lateness => turn.lateness().await,
            Self::Memory(bytes) => turn.memory(bytes).await,
            Self::Idle => turn.idle().await,
        }
    }
}

fn main() {
    let words: Vec<String> = env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    let measurements = picked(&Measurement::ALL, &words, |measurement| measurement.name());
    let queues = picked(&Who::ALL, &words, |who| who.name().to_owned());
    let quick = env::var("TIDEGATE_BENCH_QUICK").is_ok_and(|value| value == "1");
    let sizes = if quick { Sizes::QUICK } else { Sizes::FULL };
    Runtime::new().expect("a runtime").block_on(run(&measurements, &queues, sizes));
}

async fn run(measurements: &[Measurement], queues: &[Who], sizes: Sizes) {
    let server = RedisServer::builder()
        .set("appendfsync", "everysec")
        // A rewrite would disturb the turn that happens to run.
        .set("auto-aof-rewrite-percentage", "0")
        .start()
        .await;
    let url = server.url();
    let gauge = Gauge::on(&url).await;
    println!("Redis {}, append-only file synced each second; {} rounds\n", gauge.version().await, sizes.rounds);

    let time = Stopwatch::start();
    let mut report = Report::default();
    // The first round warms up, and is not counted.
    for round in 0..=sizes.rounds {
        for &measurement in measurements {
            if !measurement.has_turn(round, &sizes) {
                continue;
            }
            for turn in 0..queues.len() {
                let who = queues[(round + turn) % queues.len()];
                if who == Who::BullMqRemoving && !measurement.finishes() {
                    continue;
                }
                eprintln!(
                    "{:6.1} s: round {round}, {}, {}",
                    time.elapsed().as_secs_f64(),
                    measurement.name(),
                    who.name()
                );
                let mut warm_up = Report::default();
                let (sizes, report) = if round == 0 { (Sizes::QUICK, &mut warm_up) } else { (sizes, &mut report) };
                report.begin(round);
                let turn = Turn { who, url: &url, gauge: &gauge, sizes, report };
                // A peer may give up, as one of them does if the server takes half a second. The
                // others continue.
                if AssertUnwindSafe(measurement.take(turn)).catch_unwind().await.is_err() {
                    report.fail(&measurement.name(), who);
                }
            }
        }
    }
    report.print();
}

/// Returns the items that a word names, or all if no word does.
fn picked<T: Copy>(all: &[T], words: &[String], name: impl Fn(&T) -> String) -> Vec<T> {
    let named: Vec<T> =
        all.iter().filter(|one| words.iter().any(|word| name(one).contains(word.as_str()))).copied().collect();
    if named.is_empty() { all.to_vec() } else { named }
}
