//! `cargo xtask load` and `cargo xtask topology`: build the programs and run the driver.

use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

/// Passes `arguments` on to the driver. The first one names an example, or a run on the fleet.
///
/// An example is a benchmark, so it is built as a release is. A run on the fleet needs the two
/// programs, as a reader of the README builds them.
pub(crate) fn run(root: &Path, arguments: &[String]) -> Result<String, String> {
    let mut profile = "release";
    match arguments.first().map(String::as_str) {
        None | Some("-h" | "--help") => {}
        Some("all") => {
            profile = "dist";
            build(root, profile, EXAMPLES, "the examples")?;
        }
        Some(name) if is_example(root, name) => {
            profile = "dist";
            build(root, profile, &["-p", "tidegate-examples", "--example", name], "the example")?;
        }
        Some(option) if option.starts_with('-') => {
            return Err(format!("`{option}` comes before the name: write `cargo xtask load NAME {option} …`"));
        }
        Some(_) => build(root, profile, &["--bin", "tidegate-api", "--bin", "tidegate-worker"], "the programs")?,
    }
    // Replaces this process, so that Ctrl-C returns when the driver has stopped its servers.
    let failed = Command::new("cargo")
        .current_dir(root)
        .args(["run", "--profile", profile, "--quiet", "-p", "tidegate-load", "--"])
        // Scenarios with much data, such as a feed of 100,000 followers, are as large as in a
        // proof.
        .env("TIDEGATE_PROOF", "full")
        .args(arguments)
        .exec();
    Err(format!("cargo can't be started: {failed}"))
}

const EXAMPLES: &[&str] = &["-p", "tidegate-examples", "--examples"];

fn is_example(root: &Path, name: &str) -> bool {
    let examples = root.join("examples");
    examples.join(format!("{name}.rs")).is_file() || examples.join(name).join("main.rs").is_file()
}

/// Starts the fleet of deploy/compose.yaml on this machine until Ctrl-C.
pub(crate) fn topology(root: &Path) -> Result<String, String> {
    run(root, &["topology".to_owned()])
}

/// Builds the examples, which proofs start as processes.
pub(crate) fn build_examples(root: &Path) -> Result<(), String> {
    build(root, "release", EXAMPLES, "the examples")
}

fn build(root: &Path, profile: &str, which: &[&str], name: &str) -> Result<(), String> {
    let status = Command::new("cargo")
        .current_dir(root)
        .args(["build", "--profile", profile])
        .args(which)
        .status()
        .map_err(|error| format!("cargo can't be started: {error}"))?;
    if status.success() { Ok(()) } else { Err(format!("{name} can't be built")) }
}
