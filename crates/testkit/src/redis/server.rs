//! A single server.
#![expect(clippy::panic, reason = "a test without its server has failed; the message is the whole point")]

use std::path::Path;

use super::{Certificates, LONG, redis_cli};
use crate::{Process, Scratch, free_port, poll_until};

/// A running `redis-server` with its own port and directory. It ends with the test.
///
/// It writes each change to an append-only file before the reply, so a killed server loses no
/// acknowledged data. It does not fsync: no test simulates a power failure, and on a slow disk the
/// server would seem to hang.
pub struct RedisServer {
    process: Process,
    port: u16,
    password: Option<String>,
    scheme: &'static str,
    parameters: String,
    scratch: Scratch,
}

/// Settings of a server.
#[derive(Clone, Debug, Default)]
pub struct RedisServerBuilder {
    args: Vec<String>,
    port: Option<u16>,
    password: Option<String>,
    certificates: Option<Certificates>,
}

impl RedisServer {
    /// Starts a server, and returns when it answers.
    ///
    /// # Panics
    ///
    /// If `redis-server` is not installed, or doesn't answer.
    pub async fn start() -> Self {
        Self::builder().start().await
    }

    /// Creates a builder.
    pub fn builder() -> RedisServerBuilder {
        RedisServerBuilder::default()
    }

    /// The port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The URL, with the password if it has one.
    pub fn url(&self) -> String {
        let login = self.password.as_ref().map(|password| format!(":{password}@")).unwrap_or_default();
        format!("{}://{login}127.0.0.1:{}{}", self.scheme, self.port, self.parameters)
    }

    /// The directory in which the server keeps its files.
    pub fn directory(&self) -> &Path {
        self.scratch.path()
    }

    /// Runs a command with `redis-cli`. See [`redis_cli`]. Not for servers with TLS.
    pub async fn cli(&self, args: &[&str]) -> String {
        match &self.password {
            Some(password) => {
                let login = ["--no-auth-warning", "-a", password];
                redis_cli(self.port, &[&login, args].concat()).await
            }
            None => redis_cli(self.port, args).await,
        }
    }

    /// Kills it with SIGKILL.
    ///
    /// # Panics
    ///
    /// If it doesn't run.
    pub fn kill9(&mut self) {
        self.process.kill9().expect("it runs");
    }

    /// Suspends it with SIGSTOP: connections stay open, and nothing is answered.
    ///
    /// # Panics
    ///
    /// If it doesn't run.
    pub async fn hang(&mut self) {
        self.process.pause().await.expect("it runs");
    }

    /// Resumes it after a [`hang`](Self::hang).
    ///
    /// # Panics
    ///
    /// If it doesn't run.
    pub fn resume(&mut self) {
        self.process.resume().expect("it runs");
    }

    /// Restarts it after a [`kill9`](Self::kill9), on the same port and directory, and returns when
    /// it answers.
    ///
    /// # Panics
    ///
    /// If it runs, or doesn't answer.
    pub async fn restart(&mut self) {
        self.process.restart().expect("it has ended");
        self.wait().await;
    }

    /// Returns when it answers.
    pub(super) async fn wait(&self) {
        let answers = async || {
            if self.scheme == "rediss" {
                // `redis-cli` would need the certificates, so only the port is checked.
                return tokio::net::TcpStream::connect(("127.0.0.1", self.port)).await.is_ok().then_some(());
            }
            (self.cli(&["PING"]).await == "PONG").then_some(())
        };
        if poll_until(LONG, answers).await.is_err() {
            let log: Vec<String> = self.process.log().tail(20).iter().map(ToString::to_string).collect();
            panic!("redis-server on port {} does not answer:\n{}", self.port, log.join("\n"));
        }
    }

    /// Returns when it has all data of its primary.
    pub(super) async fn wait_for_sync(&self) {
        let is_synced =
            async || self.cli(&["INFO", "replication"]).await.contains("master_link_status:up").then_some(());
        poll_until(LONG, is_synced).await.expect("a replica follows its primary");
    }
}

impl RedisServerBuilder {
    /// Sets a directive of the configuration, such as `maxmemory` to `10mb`.
    #[must_use]
    pub fn set(mut self, directive: &str, value: &str) -> Self {
        self.args.push(format!("--{directive}"));
        self.args.extend(value.split(' ').map(str::to_owned));
        self
    }

    /// Sets the port, in place of a free one.
    #[must_use]
    pub fn port(mut self, port: u16) -> Self {
        self.port = Some(port);
        self
    }

    /// Sets the password.
    #[must_use]
    pub fn password(mut self, password: &str) -> Self {
        self.password = Some(password.to_owned());
        self.set("requirepass", password).set("masterauth", password)
    }

    /// Makes it a replica of that server.
    #[must_use]
    pub fn replica_of(self, primary: &RedisServer) -> Self {
        let set = self.set("replicaof", &format!("127.0.0.1 {}", primary.port));
        match &primary.password {
            Some(password) => set.password(password),
            None => set,
        }
    }

    /// Enables TLS, and disables plain text.
    #[must_use]
    pub fn tls(mut self, certificates: &Certificates) -> Self {
        self.certificates = Some(certificates.clone());
        self
    }

    /// Starts it, and returns when it answers.
    ///
    /// # Panics
    ///
    /// If `redis-server` is not installed, or doesn't answer.
    pub async fn start(self) -> RedisServer {
        let server = self.spawn();
        server.wait().await;
        server
    }

    /// Starts it without waiting.
    pub(super) fn spawn(self) -> RedisServer {
        let scratch = Scratch::new();
        let port = self.port.unwrap_or_else(free_port);
        let mut process = Process::builder("redis-server").name(format!("redis-server:{port}"));
        process = match &self.certificates {
            Some(certificates) => process.args(certificates.args(port)),
            None => process.args(["--port", &port.to_string()]),
        };
        let process = process
            .args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "yes", "--appendfsync", "no"])
            .args(["--repl-diskless-sync-delay", "0"])
            .arg("--dir")
            .arg(scratch.path())
            .args(&self.args)
            .start()
            .expect("redis-server starts; install it with: apt-get install redis-server");
        let (scheme, parameters) = match &self.certificates {
            Some(certificates) => ("rediss", format!("?ca={}", certificates.authority().display())),
            None => ("redis", String::new()),
        };
        RedisServer { process, port, password: self.password, scheme, parameters, scratch }
    }
}
