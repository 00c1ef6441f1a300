//! The proofs on the fleet at reduced size. `cargo xtask load` runs them at full size.
//!
//! Checks of times are left to the full size, on a machine that does nothing else.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, reason = "a test ends where it is surprised")]

use std::time::Duration;

use tidegate_load::proof::{self, ProofReport, Size};

fn size(scale: f64, users: usize) -> Size {
    Size { scale, users, settings: Vec::new() }
}

fn holds(report: anyhow::Result<ProofReport>) {
    let report = report.unwrap();
    println!("{}", report.table());
    assert_eq!(report.broken_counts(), Vec::<&str>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn staged_load_has_no_errors() {
    holds(proof::stages(&size(0.02, 40)).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_spike_is_answered_or_refused_and_kills_no_process() {
    holds(proof::spike(&size(0.1, 10)).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rolling_restart_loses_no_request_and_a_broken_version_is_rolled_back() {
    holds(proof::rolling(&size(0.1, 20)).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn faults_lose_no_acknowledged_write() {
    holds(proof::faults(&size(1.0, 20), Duration::from_secs(60)).await);
}
