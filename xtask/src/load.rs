//! `cargo xtask load` and `cargo xtask topology`: build the programs and run the driver, in
//! release.

use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

/// Passes `arguments` on to the driver. The first one names an example, or a run on the fleet. A
/// run on the fleet needs the two programs and no example.
pub(crate) fn run(root: &Path, arguments: &[String]) -> Result<String, String> {
    match arguments.first().map(String::as_str) {
        None | Some("-h" | "--help") => {}
        Some(name) if name == "all" || is_example(root, name) => build_examples(root)?,
        Some(option) if option.starts_with('-') => {
            return Err(format!("`{option}` comes before the name: write `cargo xtask load NAME {option} …`"));
        }
        Some(_) => build_programs(root)?,
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

fn is_example(root: &Path, name: &str) -> bool {
    let examples = root.join("examples");
    examples.join(format!("{name}.rs")).is_file() || examples.join(name).join("main.rs").is_file()
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
