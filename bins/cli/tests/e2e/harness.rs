//! Starts an API, and runs `tidegate` on it.

use std::process::Stdio;
use std::time::Duration;

use tidegate_testkit::{Process, Scratch, binary};
use tokio::process::Command;

/// Longest wait for anything: generous, since the machine may be busy; no test asserts on it.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);
pub(crate) const ADMIN: &str = "admin-token-0123456789";
pub(crate) const READ: &str = "read-token-0123456789";

/// An API on the embedded default, with tokens.
pub(crate) struct Api {
    pub(crate) url: String,
    _process: Process,
    /// Behind the process, since fields drop in order.
    _scratch: Scratch,
}

impl Api {
    pub(crate) async fn start() -> Self {
        Self::start_with(&[]).await
    }

    pub(crate) async fn start_with(variables: &[(&str, &str)]) -> Self {
        let scratch = Scratch::new();
        let program = Process::builder(binary("tidegate-api"))
            .current_dir(scratch.path())
            .env("TIDEGATE_DATA_DIR", scratch.path())
            .env("TIDEGATE_LISTEN", "127.0.0.1:0")
            .env("TIDEGATE_CACHE_WARM_UP", "0")
            .env("TIDEGATE_ADMIN_TOKEN", ADMIN)
            .env("TIDEGATE_READ_TOKEN", READ);
        let program = variables.iter().fold(program, |program, (name, value)| program.env(name, value));
        let mut process = program.start().expect("the API starts");
        let line = process.wait_for_line("listens on", DEADLINE).await.expect("the API says where it listens");
        let url = line[line.find("http").expect("an address")..].trim().to_owned();
        Self { url, _process: process, _scratch: scratch }
    }

    /// `tidegate` with the admin token, not started.
    pub(crate) fn tidegate(&self, arguments: &[&str]) -> Command {
        tidegate(&self.url, arguments)
    }

    /// Runs `tidegate` with the admin token.
    pub(crate) async fn run(&self, arguments: &[&str]) -> Ended {
        run(self.tidegate(arguments)).await
    }
}

/// `tidegate` with that address and the admin token, not started.
pub(crate) fn tidegate(url: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(binary("tidegate"));
    command.args(arguments).env_clear().env("TIDEGATE_URL", url).env("TIDEGATE_TOKEN", ADMIN);
    command.stdin(Stdio::null()).kill_on_drop(true);
    command
}

/// Exit code and output of a run.
#[derive(Debug)]
pub(crate) struct Ended {
    /// `None` if a signal ended it.
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

/// Runs a command to its end. A token in its output, or a panic, fails the test.
pub(crate) async fn run(mut command: Command) -> Ended {
    let output = tokio::time::timeout(DEADLINE, command.output()).await.expect("it ends").expect("it starts");
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    let ended = Ended { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) };
    for token in [ADMIN, READ] {
        assert!(!ended.out.contains(token) && !ended.err.contains(token), "{ended:?}");
    }
    assert!(!ended.err.contains("panicked"), "{ended:?}");
    ended
}

impl Ended {
    /// Asserts the exit code, and texts on standard error.
    #[track_caller]
    pub(crate) fn assert_failed(&self, code: i32, says: &[&str]) {
        assert_eq!(self.code, Some(code), "{self:?}");
        assert!(self.err.starts_with("error: "), "{self:?}");
        for text in says {
            assert!(self.err.contains(text), "{text}: {self:?}");
        }
    }
}
