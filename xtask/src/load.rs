//! `cargo xtask load` and `cargo xtask topology`: build the programs and run the driver, in
//! release.

use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

/// Runs of the driver on the fleet. They need the two programs and no example.
const ON_THE_FLEET: &[&str] = &["stages", "spike", "rolling", "faults", "cost", "topology"];

/// Passes `arguments` on to the driver.
pub(crate) fn run(root: &Path, arguments: &[String]) -> Result<String, String> {
    if arguments.iter().any(|argument| ON_THE_FLEET.contains(&argument.as_str())) {
        build_programs(root)?;
    } else {
        build_examples(root)?;
    }
    // In place of this process, so that Ctrl-C returns when the driver has stopped its servers.
    let failed = Command::new("cargo")
        .current_dir(root)
        .args(["run", "--release", "--quiet", "-p", "tidegate-load", "--"])
        // Scenarios with much data, such as a feed of 100,000 followers, are as large as in a proof.
        .env("TIDEGATE_PROOF", "full")
        .args(arguments)
        .exec();
    Err(format!("cargo can't be started: {failed}"))
}

/// Starts the fleet of deploy/compose.yaml on this machine until Ctrl-C.
pub(crate) fn topology(root: &Path) -> Result<String, String> {
    run(root, &["topology".to_owned()])
}

/// Builds the examples, which the driver starts as processes.
pub(crate) fn build_examples(root: &Path) -> Result<(), String> {
    build(root, &["-p", "tidegate-examples", "--examples"], "the examples")
}

/// Builds the two programs, which the driver starts as processes.
pub(crate) fn build_programs(root: &Path) -> Result<(), String> {
    build(root, &["--bin", "tidegate-api", "--bin", "tidegate-worker"], "the programs")
}

fn build(root: &Path, which: &[&str], name: &str) -> Result<(), String> {
    let status = Command::new("cargo")
        .current_dir(root)
        .args(["build", "--release"])
        .args(which)
        .status()
        .map_err(|error| format!("cargo can't be started: {error}"))?;
    if status.success() { Ok(()) } else { Err(format!("{name} can't be built")) }
}
