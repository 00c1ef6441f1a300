//! Nothing outlives a test, however it ends. Linux only: the state of another process is read from
//! `/proc`.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, clippy::panic, reason = "in a test, also in its helpers, a panic is the report")]

use std::time::Duration;
use std::{env, fs, io};

use tidegate_testkit::{Process, poll_until};

const LONG: Duration = Duration::from_secs(30);
/// Set for the copy of this test that is killed.
const VICTIM: &str = "TESTKIT_VICTIM";
/// Starts a grandchild, and prints its process id.
const PARENT: &str = "sleep 600 & echo \"grandchild $!\"; wait";

async fn ends(pid: u32) {
    let gone = poll_until(LONG, async || {
        let stat = match fs::read_to_string(format!("/proc/{pid}/stat")) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Some(()),
            stat => stat.ok()?,
        };
        // A zombie is dead; process 1 has to reap it.
        stat.rsplit(')').next()?.trim_start().starts_with('Z').then_some(())
    });
    gone.await.unwrap_or_else(|_| panic!("process {pid} still runs"));
}

fn last_number(line: &str) -> u32 {
    line.rsplit(' ').next().unwrap().parse().unwrap()
}

fn parent() -> Process {
    Process::builder("/bin/sh").args(["-c", PARENT]).start().unwrap()
}

#[tokio::test]
async fn a_drop_kills_children_and_grandchildren() {
    let mut process = parent();
    let child = process.pid().unwrap();
    let grandchild = last_number(&process.wait_for_line("grandchild", LONG).await.unwrap());
    drop(process);
    ends(child).await;
    ends(grandchild).await;
}

#[tokio::test]
async fn what_an_ended_program_left_behind_is_killed() {
    let mut process = Process::builder("/bin/sh").args(["-c", "sleep 600 & echo \"left $!\""]).start().unwrap();
    assert!(process.wait_for_exit(LONG).await.unwrap().success());
    let left = last_number(&process.log().find(|line| line.contains("left")).unwrap());
    ends(left).await;
}

#[tokio::test]
async fn a_killed_test_takes_its_processes_along() {
    if env::var_os(VICTIM).is_some() {
        let mut process = parent();
        let grandchild = process.wait_for_line("grandchild", LONG).await.unwrap();
        println!("\nchild {}", process.pid().unwrap());
        println!("{grandchild}");
        std::future::pending::<()>().await;
    }
    let mut test = Process::builder(env::current_exe().unwrap())
        .args(["--exact", "a_killed_test_takes_its_processes_along", "--nocapture"])
        .env(VICTIM, "1")
        .start()
        .unwrap();
    let child = last_number(&test.wait_for_line("child", LONG).await.unwrap());
    let grandchild = last_number(&test.wait_for_line("grandchild", LONG).await.unwrap());
    test.kill9().unwrap();
    ends(child).await;
    ends(grandchild).await;
}
