//! A mail server.

use std::fs;
use std::time::Duration;

use crate::{Process, Scratch};

/// Longest wait for the server.
const LONG: Duration = Duration::from_secs(60);

/// A running SMTP server (Debian's `python3-aiosmtpd`) on a port that it chooses. It ends with the
/// test.
///
/// The recipient decides the behaviour. `never@…` is refused with 550. `later-2@…` is refused twice
/// with 451 and then accepted. A mail to `hang@…` is never answered. Any other mail is accepted.
/// TLS and logins are not supported.
pub struct SmtpServer {
    port: u16,
    process: Process,
    scratch: Scratch,
}

/// An accepted mail.
#[derive(Debug, Clone)]
pub struct Received {
    /// The sender's address of the envelope.
    pub from: String,
    /// The recipients' addresses of the envelope.
    pub to: Vec<String>,
    /// The headers and the body.
    pub text: String,
}

impl SmtpServer {
    /// Starts a server, and returns when it accepts mail.
    ///
    /// # Panics
    ///
    /// If `python3-aiosmtpd` is not installed.
    pub async fn start() -> Self {
        let scratch = Scratch::new();
        let program = scratch.path().join("server.py");
        fs::write(&program, include_str!("smtp.py")).expect("a scratch directory can be written");
        fs::create_dir(scratch.path().join("mails")).expect("a scratch directory can be written");
        let mut process = Process::builder("/usr/bin/python3")
            .arg(&program)
            .arg(scratch.path().join("mails"))
            .current_dir(scratch.path())
            .start()
            .expect("python3 is there");
        let line = process.wait_for_line("takes mails on port", LONG).await.expect("python3-aiosmtpd is installed");
        let port = line.rsplit(' ').next().and_then(|port| port.parse().ok()).expect("it says its port");
        Self { port, process, scratch }
    }

    /// The port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its URL.
    pub fn url(&self) -> String {
        format!("smtp://127.0.0.1:{}", self.port)
    }

    /// Suspends it: the system accepts connections, and nothing is answered.
    ///
    /// # Panics
    ///
    /// If it doesn't run.
    pub async fn hang(&mut self) {
        self.process.pause().await.expect("it runs");
    }

    /// Kills it.
    ///
    /// # Panics
    ///
    /// If it doesn't run.
    pub fn kill9(&mut self) {
        self.process.kill9().expect("it runs");
    }

    /// The accepted mails, in order.
    ///
    /// # Panics
    ///
    /// If one can't be read.
    pub fn received(&self) -> Vec<Received> {
        let folder = fs::read_dir(self.scratch.path().join("mails")).expect("it is there");
        let mut files: Vec<_> = folder.map(|file| file.expect("a file").path()).collect();
        files.retain(|path| path.extension().is_some_and(|end| end == "json"));
        files.sort();
        let read = |path| serde_json::from_str(&fs::read_to_string(path).expect("it can be read")).expect("it is JSON");
        let text = |value: &serde_json::Value| value.as_str().expect("a text").to_owned();
        let mails = files.into_iter().map(read).map(|mail: serde_json::Value| Received {
            from: text(&mail["from"]),
            to: mail["to"].as_array().expect("a list").iter().map(text).collect(),
            text: text(&mail["text"]),
        });
        mails.collect()
    }
}
