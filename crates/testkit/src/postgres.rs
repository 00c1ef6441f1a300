//! PostgreSQL for tests: a cluster of its own, reached over a socket in its own directory.

#![expect(clippy::panic, reason = "a test without its server has failed; the message is the whole point")]

use std::ffi::OsString;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use crate::{Process, Scratch};

/// Where Debian puts each version.
const VERSIONS: &str = "/usr/lib/postgresql";
/// Who runs it where this test is root, as whom PostgreSQL refuses to run: the package's user, or nobody.
const USERS: [&str; 2] = ["postgres", "nobody"];
/// How long a server may take for what it takes a second to do on a quiet machine.
const LONG: Duration = Duration::from_secs(60);

/// A server with an empty cluster, on no port. It ends with the test, as any [`Process`] does.
#[derive(Debug)]
pub struct PostgresServer {
    process: Process,
    programs: PathBuf,
    scratch: Scratch,
}

impl PostgresServer {
    /// Makes a cluster and starts its server with these settings, as `("work_mem", "1MB")`, and waits until it answers.
    ///
    /// # Panics
    ///
    /// If PostgreSQL is not installed or doesn't start.
    pub async fn start(settings: &[(&str, &str)]) -> Self {
        let (programs, scratch) = (programs(), Scratch::new());
        let runner = Runner::find(&scratch).await;
        let cluster = scratch.join("cluster");

        let initdb = runner.words(programs.join("initdb"));
        let made = Command::new(&initdb[0])
            .args(&initdb[1..])
            .args(["--auth=trust", "--username=postgres", "--encoding=UTF8", "--locale=C", "--no-sync", "-D"])
            .arg(&cluster)
            .current_dir(&scratch)
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output()
            .await
            .expect("initdb runs; install it with: apt-get install postgresql");
        assert!(made.status.success(), "initdb: {}", String::from_utf8_lossy(&made.stderr));

        let postgres = runner.words(programs.join("postgres"));
        let mut process = Process::builder(&postgres[0])
            .name("postgres")
            .args(&postgres[1..])
            .arg("-D")
            .arg(&cluster)
            .arg("-k")
            .arg(scratch.path())
            .args(["-c", "listen_addresses=", "-c", "fsync=off"])
            .args(settings.iter().flat_map(|(name, value)| ["-c".to_owned(), format!("{name}={value}")]))
            .current_dir(scratch.path())
            .start()
            .expect("postgres starts");
        process.wait_for_line("ready to accept connections", LONG).await.expect("it accepts connections");
        Self { process, programs, scratch }
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
