//! Runs that the caller describes.
#![allow(clippy::unwrap_used, reason = "a test ends where it is surprised")]

use std::time::Duration;

use serde_json::Value;
use tidegate_testkit::{Process, Scratch};

const LONG: Duration = Duration::from_secs(60);

/// Runs the program to its end.
async fn load(arguments: &[&str]) -> Process {
    let mut program = Process::builder(env!("CARGO_BIN_EXE_tidegate-load")).args(arguments).start().unwrap();
    program.wait_for_exit(LONG).await.unwrap();
    program
}

#[tokio::test]
async fn a_run_of_the_caller_has_coupons_for_all_and_is_compared_with_none() {
    let scratch = Scratch::new();
    let json = scratch.join("figures.json");
    // More requests than the first campaign has coupons.
    let arguments = ["coupons", "--embedded", "--rate", "150", "--duration", "2", "--json", json.to_str().unwrap()];
    let program = load(&arguments).await;
    let row = program.log().find(|line| line.trim_start().starts_with("issue ")).unwrap();
    assert!(row.ends_with("  none"), "{row}");

    let report: Value = serde_json::from_slice(&std::fs::read(json).unwrap()).unwrap();
    let figures = &report[0]["runs"][0]["figures"][0];
    assert_eq!((&figures["operation"], &figures["count"]), (&"issue".into(), &300.into()), "{report}");
    let invariant = report[0]["invariants"][0]["says"].as_str().unwrap();
    assert!(invariant.contains("300 users have the 300 issued coupons"), "{invariant}");
    let files = std::fs::read_dir(scratch.path()).unwrap().map(|entry| entry.unwrap().file_name());
    assert_eq!(files.collect::<Vec<_>>(), ["figures.json"]);
}

#[tokio::test]
async fn a_run_that_fails_leaves_no_file_and_changes_none() {
    let scratch = Scratch::new();
    let (json, page) = (scratch.join("figures.json"), scratch.join("page.md"));
    let old = "<!-- spike -->\nold\n<!-- /spike -->\n";
    std::fs::write(&page, old).unwrap();
    // The fleet has no use for 9 users: the run fails behind the check of its files.
    let arguments = ["spike", "--users", "9", "--json", json.to_str().unwrap(), "--page", page.to_str().unwrap()];
    let program = load(&arguments).await;
    let lines = program.log().lines();
    assert!(lines.iter().any(|line| line.text.contains("--users is 9")), "{lines:?}");
    let files = std::fs::read_dir(scratch.path()).unwrap().map(|entry| entry.unwrap().file_name());
    assert_eq!(files.collect::<Vec<_>>(), ["page.md"]);
    assert_eq!(std::fs::read_to_string(&page).unwrap(), old);
}

#[tokio::test]
async fn a_page_without_the_section_is_refused_before_the_run() {
    let scratch = Scratch::new();
    let page = scratch.join("page.md");
    std::fs::write(&page, "<!-- coupons -->\n").unwrap();
    for (scenario, line) in [("coupons", "<!-- /coupons -->"), ("spike", "<!-- spike -->")] {
        let program = load(&[scenario, "--page", page.to_str().unwrap()]).await;
        let lines = program.log().lines();
        let refused = format!("error: {}: the page has no line `{line}`", page.display());
        assert!(lines.len() == 1 && lines[0].text == refused, "{lines:?}");
    }
}

#[tokio::test]
async fn a_file_that_cannot_be_written_is_refused_before_the_run() {
    for option in ["--json", "--page"] {
        let program = load(&["coupons", "--embedded", "--duration", "1", option, "/dev/null/figures"]).await;
        let (refused, lines) = ("error: /dev/null/figures can't be written: ", program.log().lines());
        assert!(lines.len() == 1 && lines[0].text.starts_with(refused), "{lines:?}");
    }
}
