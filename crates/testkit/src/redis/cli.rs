//! One command through `redis-cli`, which shares no code with what is tested.

use std::process::Stdio;

use tokio::process::Command;

/// Sends a command to the server on that port of this machine. Returns what `redis-cli` prints, errors included, without the
/// line break at the end.
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
        // A test that gives up must not wait for a server that hangs.
        .kill_on_drop(true)
        .output();
    let output = run.await.expect("redis-cli runs; install it with: apt-get install redis-tools");
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &*String::from_utf8_lossy(&output.stderr);
    text.trim_end().to_owned()
}
