//! Pipes that are closed early, and a terminal on which it asks.

use std::fs::File;
use std::io::{Read, Write};
use std::process::Stdio;

use rustix::fs::{Mode, OFlags, open};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use tokio::process::Command;

use crate::harness::{Api, run};

#[tokio::test]
async fn a_reader_that_is_gone_is_no_failure() {
    let api = Api::start().await;
    for arguments in [
        ["metrics"].as_slice(),
        &["performance", "show", "export", "--json"],
        &["completions", "bash"],
        &["alert", "tail"],
        &["--help"],
    ] {
        let mut command = api.tidegate(arguments);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
        drop(child.stdout.take());
        let ended = child.wait_with_output().await.expect("it ends");
        assert_eq!(ended.status.code(), Some(0), "{arguments:?}");
        assert_eq!(String::from_utf8_lossy(&ended.stderr), "", "{arguments:?}");
    }
}

#[tokio::test]
async fn an_output_that_is_full_is_a_failure() {
    let api = Api::start().await;
    let mut command = api.tidegate(&["queue", "list"]);
    command.stdout(File::options().write(true).open("/dev/full").expect("a full device")).stderr(Stdio::piped());
    let ended = command.spawn().expect("it starts").wait_with_output().await.expect("it ends");
    assert_eq!(ended.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&ended.stderr).contains("can't be written"));
}

#[tokio::test]
async fn on_a_terminal_it_asks_and_does_nothing_without_a_yes() {
    let api = Api::start().await;
    let paused = ["queue", "clean", "import", "--state", "done"];
    for (answer, code) in [("n\n", 1), ("\n", 1), ("maybe\n", 1), ("yes\n", 0), ("Y\n", 0)] {
        let ended = on_terminal(api.tidegate(&paused), answer).await;
        assert_eq!(ended.code, Some(code), "{answer:?}: {ended:?}");
        assert!(ended.err.contains("Remove the done jobs of queue import for good? [y/N]"), "{ended:?}");
    }
}

/// Runs a command whose standard input is a terminal on which that is typed.
async fn on_terminal(mut command: Command, typed: &str) -> crate::harness::Ended {
    let controller = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a terminal");
    grantpt(&controller).and_then(|()| unlockpt(&controller)).expect("its other end");
    let name = ptsname(&controller, Vec::new()).expect("its name");
    let terminal = open(&*name, OFlags::RDWR | OFlags::NOCTTY, Mode::empty()).expect("its other end opens");
    let mut controller = File::from(controller);
    controller.write_all(typed.as_bytes()).expect("it is typed");
    command.stdin(Stdio::from(terminal));
    let ended = run(command).await;
    // What the terminal echoed.
    let _ = controller.read(&mut [0; 100]);
    ended
}
