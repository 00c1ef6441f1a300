//! Starts as a new user types them.

use std::path::Path;

use serde_json::Value;
use tidegate_testkit::{Process, ProcessBuilder, Stream, binary, poll_until};

use crate::harness::{DEADLINE, Ended, client, run};

/// The API as a new user starts it, with only a free port set.
pub(super) fn plain(directory: &Path) -> ProcessBuilder {
    Process::builder(binary("tidegate-api")).current_dir(directory).env("TIDEGATE_LISTEN", "127.0.0.1:0")
}

/// The commands that the banner offers.
pub(super) async fn offered_commands(process: &mut Process) -> Vec<String> {
    process.wait_for_line("curl -si", DEADLINE).await.expect("the banner to its end");
    let lines = process.log().lines().into_iter().filter(|line| line.stream == Stream::Stdout);
    lines.map(|line| line.text.trim().to_owned()).filter(|line| line.starts_with("curl ")).collect()
}

/// Does what a person does who pastes the command into a shell.
pub(super) async fn paste(command: &str, variables: &[(&str, &str)]) -> Ended {
    let shell = Process::builder("/bin/sh").args(["-c", command]).env("no_proxy", "*");
    run(variables.iter().fold(shell, |shell, (name, value)| shell.env(name, value))).await
}

pub(super) fn json_of(ended: &Ended) -> Value {
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    serde_json::from_str(&ended.out).expect(&ended.out)
}

/// Waits until a probe says 503; a server that is gone has not said so.
pub(super) async fn says_unready(url: &str) {
    let (url, client) = (format!("{url}/readyz"), client());
    let told = poll_until(DEADLINE, async || {
        let answer = client.get(&url).send().await.expect("it is still there to say so");
        (answer.status() == 503).then_some(())
    });
    told.await.expect("not ready");
}
