//! `cargo xtask prove`: the long proofs, by name.

mod list;
mod proof;

use std::path::Path;
use std::process::Command;

use self::proof::Proof;
use crate::clock::Stopwatch;
use crate::step::seconds;
use crate::{load, tool};

/// Lists the proofs.
pub(crate) fn list() -> String {
    list::all().map(|proof| format!("{:<24} {}\n", proof.name, proof.shows)).collect()
}

/// Runs those whose name contains `wanted`, one after the other.
pub(crate) fn run(root: &Path, wanted: &str) -> Result<String, String> {
    let chosen: Vec<&Proof> = list::all().filter(|proof| proof.name.contains(wanted)).collect();
    if chosen.is_empty() {
        return Err(format!("no proof has `{wanted}` in its name; `cargo xtask prove --list` names them"));
    }
    tool::install_missing().map_err(|missing| missing.to_string())?;
    if chosen.iter().any(|proof| proof.drives_binaries()) {
        build(root)?;
    }
    if chosen.iter().any(|proof| proof.drives_examples()) {
        load::build_examples(root)?;
    }
    let mut summary = String::new();
    for proof in chosen {
        println!("\n==> {}: {}", proof.name, proof.shows);
        let stopwatch = Stopwatch::start();
        let filter = format!("package({}) & binary({}) & test(={})", proof.package, proof.binary, proof.test);
        let status = Command::new("cargo")
            .current_dir(root)
            .env("TIDEGATE_PROOF", "full")
            .args([
                "nextest",
                "run",
                "--release",
                "--profile",
                "prove",
                "--no-capture",
                "-p",
                proof.package,
                "-E",
                &filter,
            ])
            .args(proof.features.iter().flat_map(|feature| ["--features", feature]))
            .status()
            .map_err(|error| format!("cargo nextest can't be started: {error}"))?;
        if !status.success() {
            return Err(format!("proof `{}` failed; repeat it with: cargo xtask prove {0}", proof.name));
        }
        summary.push_str(&format!("{:<24} {}\n", proof.name, seconds(stopwatch.elapsed())));
    }
    Ok(summary)
}

/// The binaries that the proofs drive.
fn build(root: &Path) -> Result<(), String> {
    let status = Command::new("cargo")
        .current_dir(root)
        .args(["build", "--release", "--workspace", "--bins"])
        .status()
        .map_err(|error| format!("cargo can't be started: {error}"))?;
    if status.success() { Ok(()) } else { Err("the binaries can't be built".to_owned()) }
}
