//! PostgreSQL for tests: a server with its own cluster, on a socket in its own directory or on a
//! port, and replicas.

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

/// Debian's directory of the installed versions.
const VERSIONS: &str = "/usr/lib/postgresql";
/// Candidates for the user of the server if the test is root, since PostgreSQL refuses to run as
/// root.
const USERS: [&str; 2] = ["postgres", "nobody"];
/// Time limit for operations that take a second on an idle machine.
const LONG: Duration = Duration::from_secs(60);
/// Port in the name of the socket of a server without a TCP port.
const DEFAULT_PORT: u16 = 5432;

/// A server with its own cluster. It ends with the test, like any [`Process`].
#[derive(Debug)]
pub struct PostgresServer {
    process: Process,
    programs: PathBuf,
    scratch: Scratch,
    port: Option<u16>,
    /// Its suspended child processes: each process of a server has its own group.
    hung: Vec<Pid>,
}

impl PostgresServer {
    /// Creates an empty cluster, starts its server with these settings, such as `("work_mem",
    /// "1MB")`, without a TCP port, and waits until it answers.
    ///
    /// # Panics
    ///
    /// If PostgreSQL is not installed or doesn't start.
    pub async fn start(settings: &[(&str, &str)]) -> Self {
        Self::start_on(None, settings).await
    }

    /// Like [`start`](Self::start), on a port of 127.0.0.1.
    ///
    /// # Panics
    ///
    /// Like [`start`](Self::start).
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

    /// Starts a replica of this server on its own port, and waits until it answers reads.
    ///
    /// # Panics
    ///
    /// If this server has no port or doesn't run.
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

    /// Waits for the log line. That of a replica has a different text with the same words.
    async fn accepts(&mut self) {
        self.process.wait_for_line("ready to accept", LONG).await.expect("it accepts connections");
    }

    /// Its port on 127.0.0.1.
    ///
    /// # Panics
    ///
    /// If it has none.
    pub fn port(&self) -> u16 {
        self.port.expect("it was started on a port")
    }

    /// The URL of its database `postgres`, for the owner, without a password.
    pub fn url(&self) -> String {
        match self.port {
            Some(port) => format!("postgres://postgres@127.0.0.1:{port}/postgres"),
            None => format!("postgres://postgres@localhost/postgres?host={}", self.scratch.path().display()),
        }
    }

    /// Kills it with SIGKILL. Its child processes detect that and end.
    ///
    /// # Panics
    ///
    /// If it doesn't run.
    pub fn kill9(&mut self) {
        self.process.kill9().expect("it runs");
    }

    /// Restarts it after a [`kill9`](Self::kill9), on the same port and cluster, and returns when
    /// it answers.
    ///
    /// # Panics
    ///
    /// If it runs, or doesn't start.
    pub async fn restart(&mut self) {
        self.process.restart().expect("it has ended");
        self.accepts().await;
    }

    /// Stops it with SIGINT, and restarts it on the same port and cluster. Returns when it answers.
    /// All connections are closed, and no committed data is lost.
    ///
    /// # Panics
    ///
    /// If it doesn't run, doesn't stop or doesn't start.
    pub async fn bounce(&mut self) {
        let pid = self.process.pid().and_then(|pid| Pid::from_raw(pid.try_into().ok()?)).expect("it runs");
        kill_process(pid, Signal::INT).expect("it runs");
        self.process.wait_for_exit(LONG).await.expect("it ends when asked to");
        self.restart().await;
    }

    /// Its output.
    pub fn log(&self) -> &Log {
        self.process.log()
    }

    /// Its process id. `None` if it doesn't run.
    pub fn pid(&self) -> Option<u32> {
        self.process.pid()
    }

    /// Suspends it with SIGSTOP: connections stay open, the system accepts new ones, and nothing is
    /// answered.
    ///
    /// # Panics
    ///
    /// If it doesn't run.
    pub async fn hang(&mut self) {
        self.process.pause().await.expect("it runs");
        let pid = self.process.pid().expect("it runs");
        // From here on it starts no more child processes.
        let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).expect("it runs");
        self.hung = children.split_whitespace().filter_map(|pid| Pid::from_raw(pid.parse().ok()?)).collect();
        self.signal_hung(Signal::STOP);
    }

    /// Resumes it after a [`hang`](Self::hang).
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
            // Fails if the process has ended.
            let _ = kill_process(*pid, signal);
        }
    }

    /// Promotes a replica to a primary.
    ///
    /// # Panics
    ///
    /// If it is not a replica.
    pub async fn promote(&self) {
        assert_eq!(self.psql("SELECT pg_promote(true, 60)").await, "t");
    }

    /// Runs a script with `psql`, which shares no code with the tested programs, and returns its
    /// output: values separated by `|`, rows by line breaks, nothing else.
    ///
    /// # Panics
    ///
    /// If a statement fails.
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
        // Concurrently: otherwise a long script and a long answer would block each other.
        let feed = async move { stdin.write_all(script.as_bytes()).await };
        let (_, output) = tokio::join!(feed, psql.wait_with_output());
        let output = output.expect("psql ends");
        let (printed, told) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "psql: {told}\n{printed}");
        printed.trim_end().to_owned()
    }

    /// Stops it, and waits. A killed server leaves a few bytes of shared memory in the system.
    ///
    /// # Panics
    ///
    /// If it doesn't stop.
    pub async fn stop(mut self) {
        self.process.stop().await.expect("it ends when asked to");
    }
}

impl Drop for PostgresServer {
    fn drop(&mut self) {
        // A suspended child does not notice that the main process is killed.
        self.signal_hung(Signal::CONT);
    }
}

/// Runs a setup program to its end.
async fn run(program: &mut Command, scratch: &Scratch) {
    let made = program.current_dir(scratch).stdin(Stdio::null()).kill_on_drop(true).output().await;
    let made = made.expect("it runs; install it with: apt-get install postgresql");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
}

/// User and group of the server. `None` if it runs as the current user.
struct Runner(Option<(u32, u32)>);

impl Runner {
    /// Chooses the user, and makes it the owner of the directory.
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

    /// A command that runs one of PostgreSQL's programs as that user.
    fn command(&self, programs: &Path, program: &str) -> Command {
        let words = self.words(programs.join(program));
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]);
        command
    }

    /// The words of that command.
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

/// The directory of the newest version's programs. Empty if there is none, so that `PATH` is
/// searched.
fn programs() -> PathBuf {
    let versions = std::fs::read_dir(VERSIONS).into_iter().flatten().flatten();
    let newest = versions.filter_map(|version| version.file_name().to_str()?.parse::<u32>().ok()).max();
    newest.map_or_else(PathBuf::new, |newest| Path::new(VERSIONS).join(newest.to_string()).join("bin"))
}
