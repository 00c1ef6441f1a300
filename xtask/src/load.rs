//! `cargo xtask load`: builds the examples and the driver in release, and runs the driver.

use std::path::Path;
use std::process::Command;

/// Passes `arguments` on to the driver.
pub(crate) fn run(root: &Path, arguments: &[String]) -> Result<String, String> {
    build_examples(root)?;
    let status = Command::new("cargo")
        .current_dir(root)
        .args(["run", "--release", "--quiet", "-p", "tidegate-load", "--"])
        // Scenarios with much data, such as a feed of 100,000 followers, are as large as in a proof.
        .env("TIDEGATE_PROOF", "full")
        .args(arguments)
        .status()
        .map_err(|error| format!("cargo can't be started: {error}"))?;
    if status.success() { Ok(String::new()) } else { Err("the load run did not pass".to_owned()) }
}

/// Builds the examples, which the driver starts as processes.
pub(crate) fn build_examples(root: &Path) -> Result<(), String> {
    let status = Command::new("cargo")
        .current_dir(root)
        .args(["build", "--release", "-p", "tidegate-examples", "--examples"])
        .status()
        .map_err(|error| format!("cargo can't be started: {error}"))?;
    if status.success() { Ok(()) } else { Err("the examples can't be built".to_owned()) }
}
