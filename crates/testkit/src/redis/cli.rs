//! Runs a command with `redis-cli`, which shares no code with the tested programs.

use std::process::Stdio;

use tokio::process::Command;

/// Sends a command to the server on that port of 127.0.0.1. Returns the output of `redis-cli`,
/// including errors, without the final line break.
///
/// # Panics
///
/// If `redis-cli` is not installed.
pub async fn redis_cli(port: u16, args: &[&str]) -> String {
    let port = port.to_string();
    let run = Command::new("redis-cli")
        .args(["-h", "127.0.0.1", "-p", &port])
        .args(args)
        .stdin(Stdio::null())
        // A test that stops waiting must not leave a process that waits for a hung server.
        .kill_on_drop(true)
        .output();
    let output = run.await.expect("redis-cli runs; install it with: apt-get install redis-tools");
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &*String::from_utf8_lossy(&output.stderr);
    text.trim_end().to_owned()
}
