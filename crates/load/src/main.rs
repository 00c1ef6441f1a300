//! `cargo xtask load`: puts an example or a whole fleet under load, and prints the figures beside
//! the reference's.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "this program talks to the one who called it")]

mod fleet_proofs;

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

/// Puts an example or a whole fleet under load, and prints the figures beside the reference's.
///
/// Exits with 1 if an invariant is broken or a figure misses its target.
///
/// These run on the fleet of deploy/compose.yaml (see `cargo xtask topology`): `stages` (up to 500
/// users), `spike` (100 times the normal rate), `rolling` (every node restarted, and a broken
/// canary), `faults` (one fault each minute) and `cost` (CPU of a request and of a job).
#[derive(Parser)]
#[command(name = "cargo xtask load", bin_name = "cargo xtask load")]
struct Arguments {
    /// The example, such as `time_sale`; `all` runs each of them. Or a proof on the fleet.
    scenario: String,
    /// Factor of all lengths of time of `stages`, `spike`, `rolling` and `cost`.
    #[arg(long, default_value_t = 1.0)]
    scale: f64,
    /// Length of `faults`.
    #[arg(long, default_value_t = 30.0)]
    minutes: f64,
    /// A setting of the fleet's nodes, such as `TIDEGATE_HTTP_MAX_IN_FLIGHT=8`. May be
    /// repeated.
    #[arg(long, value_name = "NAME=VALUE", value_parser = setting)]
    set: Vec<(String, String)>,
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
    /// Also writes them to this file as a page for readers. A proof on the fleet replaces its
    /// section of the page.
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
    if let Some(proof) = fleet_proofs::find(&arguments.scenario) {
        return fleet_proofs::run(proof, &arguments).await;
    }
    let mut scenarios = scenario::all();
    if arguments.scenario != "all" {
        let names: Vec<_> = scenarios.iter().map(|scenario| scenario.name()).collect();
        scenarios.retain(|scenario| scenario.name() == arguments.scenario);
        anyhow::ensure!(
            !scenarios.is_empty(),
            "there is no scenario `{}`; there are {}, all, and on the fleet {}",
            arguments.scenario,
            names.join(", "),
            fleet_proofs::NAMES.join(", ")
        );
    }
    let mut reports = Vec::new();
    for scenario in scenarios {
        let report = measure(scenario, &arguments).await?;
        println!("{}", report.table());
        reports.push(report);
    }
    if let Some(path) = &arguments.json {
        write(path, serde_json::to_string_pretty(&reports)?)?;
    }
    if let Some(path) = &arguments.page {
        write(path, page::page(&reports))?;
    }
    Ok(reports.iter().all(Report::has_passed))
}

fn setting(text: &str) -> Result<(String, String), String> {
    let parts = text.split_once('=').filter(|(name, _)| !name.is_empty());
    parts.map(|(name, value)| (name.to_owned(), value.to_owned())).ok_or_else(|| "must be NAME=VALUE".to_owned())
}

fn write(path: &Path, text: String) -> anyhow::Result<()> {
    std::fs::write(path, text).with_context(|| format!("{} can't be written", path.display()))
}

async fn measure(scenario: Arc<dyn Scenario>, arguments: &Arguments) -> anyhow::Result<Report> {
    let options = FleetOptions { processes: arguments.processes, embedded: arguments.embedded, fsync_always: false };
    let fleet = Fleet::start(&*scenario, options).await?;
    scenario.prepare(fleet.api()).await?;
    let driver = Driver::new(scenario.clone(), fleet.api().clone());
    let mut runs = Vec::new();
    for (number, measured) in runs_of(&*scenario, arguments).into_iter().enumerate() {
        scenario.begin_run(fleet.api(), number).await?;
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
    let invariants = scenario.check(fleet.api()).await?;
    Ok(Report::new(&*scenario, runs, invariants))
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
