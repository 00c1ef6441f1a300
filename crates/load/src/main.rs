//! `cargo xtask load`: puts an example under load, and prints its figures beside the reference's.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "this program talks to the one who called it")]

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use clap::Parser;
use tidegate_load::driver::{Driver, Mode, Run};
use tidegate_load::page;
use tidegate_load::report::{self, Judged, Report};
use tidegate_load::scenario::{self, Measured};
use tidegate_load::{Fleet, FleetOptions, Scenario};

/// Puts an example under load, and prints its figures beside the reference's.
///
/// Exits with 1 if an invariant is broken or a figure misses its target.
#[derive(Parser)]
#[command(name = "cargo xtask load", bin_name = "cargo xtask load")]
struct Arguments {
    /// The example, such as `time_sale`; `all` runs each of them.
    scenario: String,
    /// Requests a second, open loop. Without it, the scenario's own runs.
    #[arg(long)]
    rate: Option<f64>,
    /// Concurrent users, closed loop.
    #[arg(long, conflicts_with = "rate")]
    users: Option<u64>,
    /// Seconds of each run.
    #[arg(long, value_name = "SECONDS")]
    duration: Option<u64>,
    /// Processes of the example.
    #[arg(long, default_value_t = 1)]
    processes: usize,
    /// Starts no Redis and no PostgreSQL: memory and SQLite.
    #[arg(long)]
    embedded: bool,
    /// Also writes the figures to this file.
    #[arg(long)]
    json: Option<PathBuf>,
    /// Also writes them to this file as a page for readers.
    #[arg(long)]
    page: Option<PathBuf>,
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Arguments::parse()).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: Arguments) -> anyhow::Result<bool> {
    let mut scenarios = scenario::all();
    if arguments.scenario != "all" {
        let names: Vec<_> = scenarios.iter().map(|scenario| scenario.name()).collect();
        scenarios.retain(|scenario| scenario.name() == arguments.scenario);
        anyhow::ensure!(
            !scenarios.is_empty(),
            "there is no scenario `{}`; there are {} and all",
            arguments.scenario,
            names.join(", ")
        );
    }
    let mut reports = Vec::new();
    for scenario in scenarios {
        let report = measure(scenario, &arguments).await?;
        println!("{}", report.table());
        reports.push(report);
    }
    let write = |path: &Path, text: String| {
        std::fs::write(path, text).with_context(|| format!("{} can't be written", path.display()))
    };
    if let Some(path) = &arguments.json {
        write(path, serde_json::to_string_pretty(&reports)?)?;
    }
    if let Some(path) = &arguments.page {
        write(path, page::page(&reports))?;
    }
    Ok(reports.iter().all(Report::has_passed))
}

async fn measure(scenario: Arc<dyn Scenario>, arguments: &Arguments) -> anyhow::Result<Report> {
    let options = FleetOptions { processes: arguments.processes, embedded: arguments.embedded, fsync_always: false };
    let fleet = Fleet::start(&*scenario, options).await?;
    scenario.prepare(fleet.api()).await?;
    let driver = Driver::new(scenario.clone(), fleet.api().clone());
    let mut runs = Vec::new();
    for (number, measured) in runs_of(&*scenario, arguments).into_iter().enumerate() {
        scenario.begin_run(number);
        let length = Duration::from_secs(measured.seconds);
        let run: Run = driver
            .run(measured.mode, length, |elapsed, count| {
                eprint!(
                    "\r{}: {}, {} s, {count} answers ",
                    scenario.name(),
                    report::describe(measured.mode),
                    elapsed.as_secs()
                );
            })
            .await;
        eprintln!();
        runs.push(Judged::new(run, &measured));
    }
    Ok(Report { scenario: scenario.name(), runs, invariants: scenario.check(fleet.api()).await? })
}

/// The scenario's own runs, or the one that the arguments describe, which has no targets.
fn runs_of(scenario: &dyn Scenario, arguments: &Arguments) -> Vec<Measured> {
    let mode = match (arguments.rate, arguments.users) {
        (Some(rate), _) => Some(Mode::Open { rate }),
        (_, Some(users)) => Some(Mode::Closed { users }),
        _ => None,
    };
    let mut runs = match mode {
        Some(mode) => vec![Measured { mode, seconds: 10, targets: Vec::new() }],
        None => scenario.runs(),
    };
    for run in &mut runs {
        run.seconds = arguments.duration.unwrap_or(run.seconds);
    }
    runs
}
