//! `cargo xtask test`: everything.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::clock::Stopwatch;
use crate::step::{self, Action, Step, seconds};
use crate::{deploy, law, links, tool};

/// The steps that fail soonest come first. The tests come last, so that their runner's summary ends
/// the output.
const CHECKS: &[Step] = &[
    Step::cargo("format", &["fmt", "--all", "--check"]),
    Step { name: "laws", action: Action::Own { name: "laws", check: law::check } },
    Step { name: "links", action: Action::Own { name: "links", check: links::check } },
    Step::cargo("clippy", &["clippy", "--workspace", "--all-features", "--all-targets", "--", "-D", "warnings"]),
    Step::cargo("cargo-deny", &["deny", "check", "bans", "licenses", "sources"]),
    // Together and with all features, like the tests. So there is one set of features, and
    // everything is compiled once.
    Step::cargo("build", &["build", "--workspace", "--all-features", "--bins", "--tests", "--examples"]),
    Step { name: "deployment", action: Action::Own { name: "deploy", check: deploy::check } },
    Step {
        name: "documentation",
        action: Action::Cargo {
            environment: &[("RUSTDOCFLAGS", "-D warnings")],
            arguments: &["doc", "--workspace", "--all-features", "--no-deps"],
        },
    },
    Step {
        name: "documentation tests",
        // The benches have none, and their peers take long to build.
        action: Action::CargoTest {
            arguments: &[
                "test",
                "--workspace",
                "--exclude",
                "tidegate-benches",
                "--all-features",
                "--doc",
                "--no-fail-fast",
            ],
        },
    },
];

const NEXTEST: Step =
    Step::cargo("tests", &["nextest", "run", "--profile", "ci", "--workspace", "--all-features", "--no-fail-fast"]);

const CARGO_TEST: Step = Step {
    name: "tests",
    action: Action::CargoTest {
        arguments: &["test", "--workspace", "--all-features", "--lib", "--bins", "--tests", "--no-fail-fast"],
    },
};

pub(crate) fn run(root: &Path) -> Result<String, String> {
    let stopwatch = Stopwatch::start();
    println!("==> tools");
    let installed = tool::install_missing().map_err(|missing| missing.to_string())?;
    match installed.as_slice() {
        [] => println!("    all there"),
        names => println!("    installed: {}", names.join(", ")),
    }
    let tests = if has_nextest() { NEXTEST } else { CARGO_TEST };
    let steps = [CHECKS, &[tests]].concat();
    let took = step::run(root, &steps)?;
    let each: Vec<String> = took.iter().map(|(name, elapsed)| format!("{name} {}", seconds(*elapsed))).collect();
    Ok(format!("\nall {} steps passed in {} ({})", steps.len(), seconds(stopwatch.elapsed()), each.join(", ")))
}

fn has_nextest() -> bool {
    let mut probe = Command::new("cargo");
    probe.args(["nextest", "--version"]).stdout(Stdio::null()).stderr(Stdio::null());
    probe.status().is_ok_and(|status| status.success())
}
