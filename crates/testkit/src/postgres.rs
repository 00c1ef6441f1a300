//! PostgreSQL for tests: a cluster of its own, reached over a socket in its own directory or a port, and followers of it.

#![expect(clippy::panic, reason = "a test without its server has failed; the message is the whole point")]

use std::ffi::OsString;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use crate::{Log, Process, Scratch, free_port};

/// Where Debian puts each version.
const VERSIONS: &str = "/usr/lib/postgresql";
/// Who runs it where this test is root, as whom PostgreSQL refuses to run: the package's user, or nobody.
const USERS: [&str; 2] = ["postgres", "nobody"];
/// How long a server may take for what it takes a second to do on a quiet machine.
const LONG: Duration = Duration::from_secs(60);
/// Which names the socket also of a server that is on no port.
const DEFAULT_PORT: u16 = 5432;

/// A server with a cluster of its own. It ends with the test, as any [`Process`] does.
#[derive(Debug)]
pub struct PostgresServer {
    process: Process,
    programs: PathBuf,
    scratch: Scratch,
    port: Option<u16>,
    /// Its processes that were stopped: each of a server's is in a group of its own.
    hung: Vec<Pid>,
}

impl PostgresServer {
    /// Makes an empty cluster and starts its server with these settings, as `("work_mem", "1MB")`, on no port, and waits until it
    /// answers.
    ///
    /// # Panics
    ///
    /// If PostgreSQL is not installed or doesn't start.
    pub async fn start(settings: &[(&str, &str)]) -> Self {
        Self::start_on(None, settings).await
    }

    /// The same on a port of 127.0.0.1.
    ///
    /// # Panics
    ///
    /// As [`start`](Self::start).
    pub async fn start_tcp(settings: &[(&str, &str)]) -> Self {
        Self::start_on(Some(free_port()), settings).await
    }

    async fn start_on(port: Option<u16>, settings: &[(&str, &str)]) -> Self {
        let (programs, scratch) = (programs(), Scratch::new());
        let runner = Runner::find(&scratch).await;
        let initdb = ["--auth=trust", "--username=postgres", "--encoding=UTF8", "--locale=C", "--no-sync", "-D"];
        run(runner.command(&programs, "initdb").args(initdb).arg(scratch.join("cluster")), &scratch).await;
        Self::run_cluster(programs, scratch, &runner, port, settings).await
    }

    /// Starts a server that follows this one, on a port of its own, and waits until it answers reads.
    ///
    /// # Panics
    ///
    /// If this one is on no port or doesn't run.
    pub async fn replica(&self, settings: &[(&str, &str)]) -> Self {
        let primary = self.port.expect("a server that is followed is on a port").to_string();
        let (programs, scratch) = (programs(), Scratch::new());
        let runner = Runner::find(&scratch).await;
        let mut copy = runner.command(&programs, "pg_basebackup");
        copy.args([
            "-h",
            "127.0.0.1",
            "-p",
            &primary,
            "-U",
            "postgres",
            "-X",
            "stream",
            "-c",
            "fast",
            "-R",
            "--no-sync",
            "-D",
        ]);
        run(copy.arg(scratch.join("cluster")), &scratch).await;
        Self::run_cluster(programs, scratch, &runner, Some(free_port()), settings).await
    }

    async fn run_cluster(
        programs: PathBuf,
        scratch: Scratch,
        runner: &Runner,
        port: Option<u16>,
        settings: &[(&str, &str)],
    ) -> Self {
        let postgres = runner.words(programs.join("postgres"));
        let addresses = if port.is_some() { "127.0.0.1" } else { "" };
        let process = Process::builder(&postgres[0])
            .name("postgres")
            .args(&postgres[1..])
            .arg("-D")
            .arg(scratch.join("cluster"))
            .arg("-k")
            .arg(scratch.path())
            .args(["-c", &format!("listen_addresses={addresses}"), "-c", "fsync=off"])
            .args(["-c", &format!("port={}", port.unwrap_or(DEFAULT_PORT))])
            .args(settings.iter().flat_map(|(name, value)| ["-c".to_owned(), format!("{name}={value}")]))
            .current_dir(scratch.path())
            .start()
            .expect("postgres starts");
        let mut server = Self { process, programs, scratch, port, hung: Vec::new() };
        server.accepts().await;
        server
    }

    /// Also a follower says so, in other words.
    async fn accepts(&mut self) {
        self.process.wait_for_line("ready to accept", LONG).await.expect("it accepts connections");
    }

    /// Its port on 127.0.0.1.
    ///
    /// # Panics
    ///
    /// If it is on none.
    pub fn port(&self) -> u16 {
        self.port.expect("it was started on a port")
    }

    /// The URL of its database `postgres`, as whose owner anybody is let in.
    pub fn url(&self) -> String {
        match self.port {
            Some(port) => format!("postgres://postgres@127.0.0.1:{port}/postgres"),
            None => format!("postgres://postgres@localhost/postgres?host={}", self.scratch.path().display()),
        }
    }

    /// Kills it with SIGKILL. Its other processes see that and end.
    ///
    /// # Panics
    ///
    /// If it doesn't run.
    pub fn kill9(&mut self) {
        self.process.kill9().expect("it runs");
    }

    /// Starts it again after a [`kill9`](Self::kill9), on the same port and cluster, and returns when it answers.
    ///
    /// # Panics
    ///
    /// If it runs, or doesn't start.
    pub async fn restart(&mut self) {
        self.process.restart().expect("it has ended");
        self.accepts().await;
    }

    /// Ends it with SIGINT, and starts it again on the same port and cluster. Returns when it
    /// answers. All connections are closed, and nothing that is committed is lost.
    ///
    /// # Panics
    ///
    /// If it doesn't run, doesn't end or doesn't start.
    pub async fn bounce(&mut self) {
        let pid = self.process.pid().and_then(|pid| Pid::from_raw(pid.try_into().ok()?)).expect("it runs");
        kill_process(pid, Signal::INT).expect("it runs");
        self.process.wait_for_exit(LONG).await.expect("it ends when asked to");
        self.restart().await;
    }

    /// What it has printed.
    pub fn log(&self) -> &Log {
        self.process.log()
    }

    /// Its process id, while it runs.
    pub fn pid(&self) -> Option<u32> {
        self.process.pid()
    }

    /// Hangs it with SIGSTOP: connections stay, new ones are taken by the system, and nothing is answered.
    ///
    /// # Panics
    ///
    /// If it doesn't run.
    pub async fn hang(&mut self) {
        self.process.pause().await.expect("it runs");
        let pid = self.process.pid().expect("it runs");
        // From here on it makes no more of them.
        let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).expect("it runs");
        self.hung = children.split_whitespace().filter_map(|pid| Pid::from_raw(pid.parse().ok()?)).collect();
        self.signal_hung(Signal::STOP);
    }

    /// Ends a [`hang`](Self::hang).
    ///
    /// # Panics
    ///
    /// If it doesn't run.
    pub fn resume(&mut self) {
        self.signal_hung(Signal::CONT);
        self.hung.clear();
        self.process.resume().expect("it runs");
    }

    fn signal_hung(&self, signal: Signal) {
        for pid in &self.hung {
            // One that has ended needs none.
            let _ = kill_process(*pid, signal);
        }
    }

    /// Makes a follower a server that can be written.
    ///
    /// # Panics
    ///
    /// If it follows nobody.
    pub async fn promote(&self) {
        assert_eq!(self.psql("SELECT pg_promote(true, 60)").await, "t");
    }

    /// Runs a script through `psql`, which shares no code with what is tested, and returns what it prints: values separated by `|`, rows
    /// by line breaks, nothing else.
    ///
    /// # Panics
    ///
    /// If a statement of it fails.
    pub async fn psql(&self, script: &str) -> String {
        let mut psql = Command::new(self.programs.join("psql"))
            .args([
                "-X",
                "-q",
                "-A",
                "-t",
                "-v",
                "ON_ERROR_STOP=1",
                "-U",
                "postgres",
                "-d",
                "postgres",
                "-f",
                "-",
                "-p",
                &self.port.unwrap_or(DEFAULT_PORT).to_string(),
                "-h",
            ])
            .arg(self.scratch.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("psql runs; install it with: apt-get install postgresql-client");
        let mut stdin = psql.stdin.take().expect("it was asked for");
        // Both at once: a long script and a long answer would else wait for one another.
        let feed = async move { stdin.write_all(script.as_bytes()).await };
        let (_, output) = tokio::join!(feed, psql.wait_with_output());
        let output = output.expect("psql ends");
        let (printed, told) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "psql: {told}\n{printed}");
        printed.trim_end().to_owned()
    }

    /// Asks it to end, and waits. A server that is killed leaves a few bytes of shared memory to the system.
    ///
    /// # Panics
    ///
    /// If it doesn't end.
    pub async fn stop(mut self) {
        self.process.stop().await.expect("it ends when asked to");
    }
}

impl Drop for PostgresServer {
    fn drop(&mut self) {
        // One that is stopped does not see that the first of them is killed.
        self.signal_hung(Signal::CONT);
    }
}

/// Runs a program that makes something, to its end.
async fn run(program: &mut Command, scratch: &Scratch) {
    let made = program.current_dir(scratch).stdin(Stdio::null()).kill_on_drop(true).output().await;
    let made = made.expect("it runs; install it with: apt-get install postgresql");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
}

/// As whom the server runs: user and group, where it can't be as us.
struct Runner(Option<(u32, u32)>);

impl Runner {
    /// Gives the directory to that user.
    async fn find(scratch: &Scratch) -> Self {
        if !rustix::process::geteuid().is_root() {
            return Self(None);
        }
        for user in USERS {
            let (uid, gid) = (id("-u", user).await, id("-g", user).await);
            if let (Some(uid), Some(gid)) = (uid, gid) {
                chown(scratch, Some(uid), Some(gid)).expect("root may give its own directory away");
                return Self(Some((uid, gid)));
            }
        }
        panic!("PostgreSQL doesn't run as root, and there is none of the users {USERS:?}");
    }

    /// One of PostgreSQL's programs, run so.
    fn command(&self, programs: &Path, program: &str) -> Command {
        let words = self.words(programs.join(program));
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]);
        command
    }

    /// The command that runs a program so.
    fn words(&self, program: PathBuf) -> Vec<OsString> {
        let mut words = Vec::new();
        if let Some((uid, gid)) = self.0 {
            let become_user = ["setpriv", &format!("--reuid={uid}"), &format!("--regid={gid}"), "--clear-groups"];
            words.extend(become_user.map(OsString::from));
        }
        words.push(program.into());
        words
    }
}

async fn id(option: &str, user: &str) -> Option<u32> {
    let output = Command::new("id").args([option, user]).stdin(Stdio::null()).output().await.ok()?;
    String::from_utf8_lossy(&output.stdout).trim().parse().ok()
}

/// The directory of the newest version's programs; an empty path, for `PATH` to find them, where there is none.
fn programs() -> PathBuf {
    let versions = std::fs::read_dir(VERSIONS).into_iter().flatten().flatten();
    let newest = versions.filter_map(|version| version.file_name().to_str()?.parse::<u32>().ok()).max();
    newest.map_or_else(PathBuf::new, |newest| Path::new(VERSIONS).join(newest.to_string()).join("bin"))
}
