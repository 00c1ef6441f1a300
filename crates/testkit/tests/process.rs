//! A process is started, awaited, killed, suspended, stopped and restarted. `/bin/sh` is the
//! program.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::os::unix::process::ExitStatusExt as _;
use std::thread;
use std::time::Duration;

use tidegate_testkit::{Process, ProcessBuilder, ProcessError, Scratch, Stream, free_port, poll_until};

const LONG: Duration = Duration::from_secs(30);
const SHORT: Duration = Duration::from_millis(100);
const SIGKILL: i32 = 9;
const SIGTERM: i32 = 15;

fn sh(script: &str) -> ProcessBuilder {
    Process::builder("/bin/sh").args(["-c", script])
}

fn texts(process: &Process, stream: Stream) -> Vec<String> {
    process.log().lines().into_iter().filter(|line| line.stream == stream).map(|line| line.text).collect()
}

#[tokio::test]
async fn output_arguments_environment_and_directory_are_as_set() {
    let scratch = Scratch::new();
    let mut process = sh("echo \"$0 $1 $COLOUR\"; pwd >&2; exit 7")
        .args(["zero", "one"])
        .env("COLOUR", "red")
        .env("COLOUR", "blue")
        .current_dir(scratch.path())
        .start()
        .unwrap();

    let status = process.wait_for_exit(LONG).await.unwrap();
    assert_eq!(status.code(), Some(7));
    assert_eq!(process.exit_status().unwrap(), Some(status));
    assert_eq!(process.pid(), None);
    assert_eq!(texts(&process, Stream::Stdout), ["zero one blue"]);
    let directory = scratch.path().canonicalize().unwrap();
    assert_eq!(texts(&process, Stream::Stderr), [directory.to_str().unwrap()]);
}

#[tokio::test]
async fn a_missing_program_is_named() {
    let error = Process::builder("/no/such/program").start().unwrap_err();
    assert!(matches!(error, ProcessError::Start { .. }));
    assert!(format!("{error:?}").contains("/no/such/program"), "{error:?}");
}

#[tokio::test]
async fn a_line_is_awaited_and_counts_when_it_came_first() {
    let mut process = sh("echo starting; echo 'listening on 127.0.0.1:1'; exec sleep 600").start().unwrap();
    for _ in 0..2 {
        let line = process.wait_for_line("listening on", LONG).await.unwrap();
        assert_eq!(line, "listening on 127.0.0.1:1");
    }
}

#[tokio::test]
async fn a_failed_wait_names_its_condition_and_shows_the_log() {
    let mut process = sh("echo half way; exec sleep 600").name("slow one").start().unwrap();
    process.wait_for_line("half", LONG).await.unwrap();
    let error = process.wait_for_line("all the way", SHORT).await.unwrap_err();
    let ProcessError::TimedOut { ref tail, after, .. } = error else { panic!("{error}") };
    assert_eq!((tail.len(), after), (1, SHORT));
    let text = format!("{error:?}");
    for part in ["slow one", "all the way", "half way"] {
        assert!(text.contains(part), "{part:?} is missing in: {text}");
    }
    assert!(process.pid().is_some(), "it still runs");
}

#[tokio::test]
async fn an_end_is_noticed_at_once_with_the_last_words() {
    let mut process = sh("echo 'port in use' >&2; exit 3").start().unwrap();
    let error = process.wait_for_line("listening", LONG).await.unwrap_err();
    let ProcessError::Exited { status, ref tail, .. } = error else { panic!("{error}") };
    assert_eq!(status.code(), Some(3));
    assert_eq!(tail.last().unwrap().text, "port in use");
}

#[tokio::test]
async fn a_line_printed_right_before_the_end_is_found() {
    let mut process = sh("echo done").start().unwrap();
    process.wait_for_exit(LONG).await.unwrap();
    assert_eq!(process.wait_for_line("done", LONG).await.unwrap(), "done");
}

#[tokio::test]
async fn readiness_is_the_first_success() {
    let port = free_port();
    let server = TcpListener::bind(("127.0.0.1", port)).unwrap();
    let server = thread::spawn(move || {
        for status in ["503 Service Unavailable", "404 Not Found", "204 No Content"] {
            let mut connection = server.accept().unwrap().0;
            let _ = connection.read(&mut [0; 1024]).unwrap();
            write!(connection, "HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").unwrap();
        }
    });
    let mut process = sh("exec sleep 600").start().unwrap();
    let url = format!("http://127.0.0.1:{port}/readyz");
    process.wait_until_ready(&url, LONG).await.unwrap();
    server.join().unwrap();

    let error = process.wait_until_ready(&url, SHORT).await.unwrap_err().to_string();
    assert!(error.contains(&url), "{error}");
}

#[tokio::test]
async fn readiness_ends_when_the_program_does() {
    let mut process = sh("exit 2").start().unwrap();
    let url = format!("http://127.0.0.1:{}/readyz", free_port());
    let error = process.wait_until_ready(&url, LONG).await.unwrap_err();
    assert!(matches!(error, ProcessError::Exited { status, .. } if status.code() == Some(2)), "{error}");
}

#[tokio::test]
async fn stop_lets_the_program_end_in_its_own_way() {
    let mut process = sh("trap 'echo bye; exit 5' TERM; echo ready; while :; do sleep 0.01; done").start().unwrap();
    process.wait_for_line("ready", LONG).await.unwrap();
    assert_eq!(process.stop().await.unwrap().code(), Some(5));
    assert_eq!(texts(&process, Stream::Stdout), ["ready", "bye"]);

    let error = process.stop().await.unwrap_err();
    assert!(matches!(error, ProcessError::NotRunning { .. }), "{error}");
}

#[tokio::test]
async fn stop_reports_a_program_that_does_not_end() {
    let mut process =
        sh("trap '' TERM; echo ready; while :; do sleep 0.01; done").stop_deadline(SHORT).start().unwrap();
    process.wait_for_line("ready", LONG).await.unwrap();
    let error = process.stop().await.unwrap_err();
    assert!(matches!(error, ProcessError::TimedOut { .. }), "{error}");
    assert_eq!(process.exit_status().unwrap(), None);
    process.kill9().unwrap();
}

#[tokio::test]
async fn without_a_trap_stop_is_a_sigterm() {
    let mut process = sh("exec sleep 600").start().unwrap();
    assert_eq!(process.stop().await.unwrap().signal(), Some(SIGTERM));
}

#[tokio::test]
async fn kill9_leaves_no_time_for_output() {
    let mut process = sh("trap 'echo bye' TERM EXIT; echo ready; while :; do sleep 0.01; done").start().unwrap();
    process.wait_for_line("ready", LONG).await.unwrap();
    assert_eq!(process.kill9().unwrap().signal(), Some(SIGKILL));
    assert_eq!(texts(&process, Stream::Stdout), ["ready"]);
}

#[tokio::test]
async fn killing_an_ended_process_is_an_error() {
    let mut process = sh("exit 0").start().unwrap();
    process.wait_for_exit(LONG).await.unwrap();
    for result in [process.kill9().map(drop), process.pause().await, process.resume()] {
        assert!(matches!(result, Err(ProcessError::NotRunning { .. })), "{result:?}");
    }
}

#[tokio::test]
async fn a_restart_keeps_the_settings_and_the_log() {
    let scratch = Scratch::new();
    let mut process = sh("echo \"run by $WHO\"; echo x >> runs; exec sleep 600")
        .env("WHO", "the test")
        .current_dir(scratch.path())
        .start()
        .unwrap();
    let first = process.pid();
    process.wait_for_line("run by the test", LONG).await.unwrap();
    let error = process.restart().unwrap_err();
    assert!(matches!(error, ProcessError::StillRunning { .. }), "{error}");

    process.kill9().unwrap();
    process.restart().unwrap();
    process.wait_for_line("run by the test", LONG).await.unwrap();
    assert_ne!(process.pid(), first);
    let runs: Vec<u32> = process.log().lines().iter().map(|line| line.run).collect();
    assert_eq!(runs, [1, 2]);
    poll_until(LONG, async || (std::fs::read(scratch.join("runs")).unwrap() == b"x\nx\n").then_some(())).await.unwrap();
}

#[tokio::test]
async fn a_paused_program_does_nothing_until_it_is_resumed() {
    let scratch = Scratch::new();
    let ticks = scratch.join("ticks");
    let count = || std::fs::read(&ticks).unwrap_or_default().len();
    let mut process = sh("while :; do echo >> ticks; sleep 0.01; done").current_dir(scratch.path()).start().unwrap();
    poll_until(LONG, async || (count() > 0).then_some(())).await.unwrap();

    process.pause().await.unwrap();
    let paused_at = count();
    let more = poll_until(SHORT, async || (count() > paused_at).then_some(()));
    assert!(more.await.is_err(), "a paused program went on");
    assert_eq!(process.exit_status().unwrap(), None);

    process.resume().unwrap();
    poll_until(LONG, async || (count() > paused_at).then_some(())).await.unwrap();
}

/// Regression test: a shell waits for its `vfork`ed child in a state in which it can't be
/// suspended.
#[tokio::test]
async fn a_program_that_starts_others_all_the_time_can_be_paused() {
    let mut process = sh("echo ready; while :; do /bin/true; done").start().unwrap();
    process.wait_for_line("ready", LONG).await.unwrap();
    for _ in 0..100 {
        process.pause().await.unwrap();
        process.resume().unwrap();
    }
}

#[tokio::test]
async fn a_paused_program_can_be_killed() {
    let mut process = sh("exec sleep 600").start().unwrap();
    process.pause().await.unwrap();
    assert_eq!(process.kill9().unwrap().signal(), Some(SIGKILL));
}
