//! `cargo xtask load`: puts an example or a whole fleet under load, and prints the figures beside
//! the reference's.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "this program talks to the one who called it")]

mod arguments;
mod fleet_proofs;
mod output;

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use clap::Parser;
use mimalloc::MiMalloc;
use tidegate_load::driver::{Driver, Mode, Run};
use tidegate_load::page;
use tidegate_load::report::{self, Judged, Report};
use tidegate_load::scenario::{self, Measured};
use tidegate_load::{ExampleOptions, ExampleProcesses, Scenario};

use self::arguments::Arguments;
use self::fleet_proofs::FleetRun;

/// The driver shares the machine with what it measures.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

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
    if let Some(which) = FleetRun::find(&arguments.scenario) {
        return fleet_proofs::run(which, &arguments).await;
    }
    let scenarios = match arguments.scenario.as_str() {
        "all" => scenario::all(),
        name => vec![scenario::find(name).with_context(|| unknown(name))?],
    };
    arguments.ensure_effect(arguments::OF_EXAMPLES)?;
    let sections: Vec<_> = scenarios.iter().map(|scenario| scenario.name()).collect();
    arguments.ensure_writable(&sections)?;
    let mut reports = Vec::new();
    for scenario in scenarios {
        let report = measure(scenario, &arguments).await?;
        println!("{}", report.table());
        reports.push(report);
    }
    if let Some(path) = &arguments.json {
        output::write(path, &serde_json::to_string_pretty(&reports)?)?;
    }
    if let Some(path) = &arguments.page {
        for report in &reports {
            put_section(path, report.scenario, &page::section(report))?;
        }
    }
    Ok(reports.iter().all(Report::has_passed))
}

fn unknown(name: &str) -> String {
    let names: Vec<_> = scenario::all().iter().map(|scenario| scenario.name()).collect();
    let on_the_fleet = FleetRun::ALL.map(FleetRun::name).join(", ");
    format!("there is no scenario `{name}`; there are {}, all, and on the fleet {on_the_fleet}", names.join(", "))
}

/// Replaces a section of a page.
fn put_section(path: &Path, name: &str, section: &str) -> anyhow::Result<()> {
    let page = std::fs::read_to_string(path).with_context(|| format!("{} can't be read", path.display()))?;
    let page = page::put(&page, name, section).with_context(|| path.display().to_string())?;
    output::write(path, &page)
}

async fn measure(scenario: Arc<dyn Scenario>, arguments: &Arguments) -> anyhow::Result<Report> {
    let processes = arguments.processes.map_or(1, usize::from);
    let options = ExampleOptions { processes, embedded: arguments.embedded, fsync_always: arguments.fsync_always };
    let example = ExampleProcesses::start(&*scenario, options).await?;
    scenario.prepare(example.api()).await?;
    let driver = Driver::new(scenario.clone(), example.api().clone());
    let mut runs = Vec::new();
    for (number, measured) in runs_of(&*scenario, arguments).into_iter().enumerate() {
        if arguments.rate.is_some() || arguments.users.is_some() {
            scenario.begin_given_run(example.api()).await?;
        } else {
            scenario.begin_run(example.api(), number).await?;
        }
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
    let invariants = scenario.check(example.api()).await?;
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
