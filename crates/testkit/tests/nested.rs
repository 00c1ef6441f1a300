//! Tests that run themselves as a program: to fail, or in a chosen environment.

use std::env;
use std::time::Duration;

use tidegate_testkit::Process;

const LONG: Duration = Duration::from_secs(30);
/// Set for the copy of a test that runs as a child.
const INSIDE: &str = "TESTKIT_INSIDE";

#[tokio::test]
async fn a_failing_test_prints_the_log_of_its_processes() {
    if env::var_os(INSIDE).is_some() {
        let mut process =
            Process::builder("/bin/sh").args(["-c", "echo a clue; exec sleep 600"]).name("server").start().unwrap();
        process.wait_for_line("clue", LONG).await.unwrap();
        panic!("as intended");
    }
    let mut test = Process::builder(env::current_exe().unwrap())
        .args(["--exact", "a_failing_test_prints_the_log_of_its_processes"])
        .env(INSIDE, "1")
        .start()
        .unwrap();
    assert!(!test.wait_for_exit(LONG).await.unwrap().success());
    for part in ["as intended", "log of server", "a clue"] {
        assert!(test.log().find(|line| line.contains(part)).is_some(), "{part:?} is not shown");
    }
}

#[tokio::test]
async fn a_developers_settings_are_not_inherited() {
    if env::var_os(INSIDE).is_some() {
        let mut process = Process::builder("/bin/sh")
            .args(["-c", "echo \"saw [$TIDEGATE_BIND] [$RUST_LOG] [$REDIS_URL] [$OTHER]\""])
            .env("REDIS_URL", "given")
            .start()
            .unwrap();
        println!("\n{}", process.wait_for_line("saw", LONG).await.unwrap());
        return;
    }
    let mut test = Process::builder(env::current_exe().unwrap())
        .args(["--exact", "a_developers_settings_are_not_inherited", "--nocapture"])
        .env(INSIDE, "1")
        .env("TIDEGATE_BIND", "outer")
        .env("RUST_LOG", "outer")
        .env("REDIS_URL", "outer")
        .env("OTHER", "outer")
        .start()
        .unwrap();
    assert_eq!(test.wait_for_line("saw", LONG).await.unwrap(), "saw [] [] [given] [outer]");
    assert!(test.wait_for_exit(LONG).await.unwrap().success());
}
