//! A started program, and the actions of a test on it.

mod builder;
mod error;
mod running;

use std::convert::Infallible;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::Duration;
use std::{io, thread};

use rustix::process::Signal;

pub use self::builder::ProcessBuilder;
pub use self::error::ProcessError;
use self::running::Running;
use crate::http::http_client;
use crate::log::Log;
use crate::poll::poll_until;

/// Number of log lines in an error.
const TAIL: usize = 50;
/// Number of log lines that a failing test prints.
const TAIL_OF_FAILED_TEST: usize = 500;
/// Time limit of one readiness request, so that a hung server does not block the check.
const ONE_REQUEST: Duration = Duration::from_secs(2);
/// Time limit of a suspension. It takes microseconds unless the program gets no CPU time.
const PAUSE: Duration = Duration::from_secs(10);

/// A program started by this test, in its own process group, with its output captured in a [`Log`].
///
/// It ends with the test: on drop, its whole group is killed. If the test itself is killed, a
/// watchdog (a shell that waits for the end of a pipe) does the same. If the test panics, the last
/// 500 lines are printed.
///
/// Signals that simulate a fault ([`kill9`](Self::kill9), [`pause`](Self::pause),
/// [`resume`](Self::resume)) go to the whole group. [`stop`](Self::stop) sends SIGTERM to the
/// program alone, as an operator does.
#[derive(Debug)]
pub struct Process {
    settings: ProcessBuilder,
    log: Log,
    state: State,
}

#[derive(Debug)]
enum State {
    Running(Running),
    Ended(ExitStatus),
}

impl Process {
    /// Settings for a program: a path, or a name to search in `PATH`.
    pub fn builder(program: impl Into<PathBuf>) -> ProcessBuilder {
        ProcessBuilder::new(program.into())
    }

    fn start(settings: ProcessBuilder) -> Result<Self, ProcessError> {
        let log = Log::default();
        let running = Running::start(&mut settings.command(), &log)
            .map_err(|source| ProcessError::Start { program: settings.program().to_owned(), source })?;
        Ok(Self { settings, log, state: State::Running(running) })
    }

    /// The name in messages.
    pub fn name(&self) -> &str {
        self.settings.display_name()
    }

    /// The output of all its runs.
    pub fn log(&self) -> &Log {
        &self.log
    }

    /// The process id. `None` if it doesn't run.
    pub fn pid(&self) -> Option<u32> {
        match &self.state {
            State::Running(running) => Some(running.pid()),
            State::Ended(_) => None,
        }
    }

    /// The exit status. `None` if it runs.
    ///
    /// # Errors
    ///
    /// [`ProcessError::System`] if the system call fails.
    pub fn exit_status(&mut self) -> Result<Option<ExitStatus>, ProcessError> {
        match &self.state {
            State::Ended(status) => Ok(Some(*status)),
            State::Running(running) => match running.has_exited() {
                Ok(true) => self.end().map(Some),
                Ok(false) => Ok(None),
                Err(source) => Err(self.system("asking whether it runs", source)),
            },
        }
    }

    /// Waits for a line of this run that contains `needle`, and returns it. Lines printed before
    /// the call count, lines of an earlier run do not.
    ///
    /// # Errors
    ///
    /// [`ProcessError::TimedOut`], or [`ProcessError::Exited`] if the program ended without
    /// printing it.
    pub async fn wait_for_line(&mut self, needle: &str, deadline: Duration) -> Result<String, ProcessError> {
        let log = self.log.clone();
        let found = self.wait_until(deadline, async || log.find(|line| line.contains(needle))).await;
        found.map_err(|wait| self.failed(wait, format!("a line with `{needle}`"), deadline))
    }

    /// Waits until GET `url` is answered with a status of 200 to 299.
    ///
    /// # Errors
    ///
    /// [`ProcessError::TimedOut`] with the last answer, or [`ProcessError::Exited`] if the program
    /// ended.
    pub async fn wait_until_ready(&mut self, url: &str, deadline: Duration) -> Result<(), ProcessError> {
        let client = http_client()
            .timeout(ONE_REQUEST)
            .build()
            .map_err(|source| self.system("preparing a request", io::Error::other(source)))?;
        let mut last = "no answer".to_owned();
        let ready = self.wait_until(deadline, async || {
            let answer = client.get(url).send().await;
            last = match answer {
                Ok(answer) if answer.status().is_success() => return Some(()),
                Ok(answer) => format!("last answer {}", answer.status()),
                Err(error) => format!("last error: {error}"),
            };
            None
        });
        let ready = ready.await;
        ready.map_err(|wait| self.failed(wait, format!("success of GET {url} ({last})"), deadline))
    }

    /// Waits until the program ends by itself.
    ///
    /// # Errors
    ///
    /// [`ProcessError::TimedOut`]; the program continues to run then.
    pub async fn wait_for_exit(&mut self, deadline: Duration) -> Result<ExitStatus, ProcessError> {
        let Err(wait) = self.wait_until(deadline, async || None::<Infallible>).await;
        match wait {
            Wait::Exited(status) => Ok(status),
            wait => Err(self.failed(wait, "its end".to_owned(), deadline)),
        }
    }

    /// Sends SIGTERM and waits for the end, 30 seconds unless
    /// [`stop_deadline`](ProcessBuilder::stop_deadline) sets another time.
    ///
    /// # Errors
    ///
    /// [`ProcessError::NotRunning`] if it had ended before. [`ProcessError::TimedOut`] if it does
    /// not end; it continues to run then.
    pub async fn stop(&mut self) -> Result<ExitStatus, ProcessError> {
        self.signal("sending SIGTERM", |running| running.signal(Signal::TERM))?;
        self.wait_for_exit(self.settings.stop_within()).await
    }

    /// Kills the whole group with SIGKILL, like `kill -9` and the out-of-memory killer, and returns
    /// the status.
    ///
    /// # Errors
    ///
    /// [`ProcessError::NotRunning`] if it had ended before. Nothing was killed then, and a test of
    /// a kill would prove nothing.
    pub fn kill9(&mut self) -> Result<ExitStatus, ProcessError> {
        self.signal("sending SIGKILL", |running| running.signal_group(Signal::KILL))?;
        self.end()
    }

    /// Suspends the whole group with SIGSTOP, and returns when the program is suspended.
    ///
    /// # Errors
    ///
    /// [`ProcessError::NotRunning`] if it has ended. [`ProcessError::TimedOut`] if it still runs
    /// after 10 seconds.
    pub async fn pause(&mut self) -> Result<(), ProcessError> {
        const DOING: &str = "sending SIGSTOP";
        // The program before its children: a program that has just called `vfork` can't be
        // suspended before its child continues.
        self.signal(DOING, |running| running.signal(Signal::STOP))?;
        let State::Running(running) = &self.state else { return Ok(()) };
        let paused = poll_until(PAUSE, async || running.has_paused().map(|paused| paused.then_some(())).transpose());
        match paused.await {
            Ok(Ok(())) => self.signal(DOING, |running| running.signal_group(Signal::STOP)),
            Ok(Err(source)) => Err(self.system(DOING, source)),
            Err(_) => Err(self.failed(Wait::TimedOut, "its pause".to_owned(), PAUSE)),
        }
    }

    /// Sends SIGHUP, which makes the program reload its files.
    ///
    /// # Errors
    ///
    /// If it doesn't run.
    pub fn hang_up(&mut self) -> Result<(), ProcessError> {
        self.signal("sending SIGHUP", |running| running.signal(Signal::HUP))
    }

    /// Resumes the whole group with SIGCONT after a [`pause`](Self::pause).
    ///
    /// # Errors
    ///
    /// [`ProcessError::NotRunning`] if it has ended.
    pub fn resume(&mut self) -> Result<(), ProcessError> {
        self.signal("sending SIGCONT", |running| running.signal_group(Signal::CONT))
    }

    /// Restarts the program with the same settings, after it has ended.
    ///
    /// # Errors
    ///
    /// [`ProcessError::StillRunning`] if it runs: end it first ([`stop`](Self::stop),
    /// [`kill9`](Self::kill9)). [`ProcessError::Start`] if it does not start.
    pub fn restart(&mut self) -> Result<(), ProcessError> {
        if self.exit_status()?.is_none() {
            return Err(ProcessError::StillRunning { process: self.name().to_owned() });
        }
        let running = Running::start(&mut self.settings.command(), &self.log)
            .map_err(|source| ProcessError::Start { program: self.settings.program().to_owned(), source })?;
        self.state = State::Running(running);
        Ok(())
    }

    /// Waits until `probe` returns a value. Returns early if the program ends.
    async fn wait_until<T>(
        &mut self,
        deadline: Duration,
        mut probe: impl AsyncFnMut() -> Option<T>,
    ) -> Result<T, Wait> {
        let waiting = poll_until(deadline, async || {
            // Checked before the probe: all output before the end is in the log then.
            let ended = self.exit_status();
            if let Some(answer) = probe().await {
                return Some(Ok(answer));
            }
            match ended {
                Ok(None) => None,
                Ok(Some(status)) => Some(Err(Wait::Exited(status))),
                Err(error) => Some(Err(Wait::Failed(error))),
            }
        });
        waiting.await.unwrap_or(Err(Wait::TimedOut))
    }

    fn failed(&self, wait: Wait, waiting_for: String, deadline: Duration) -> ProcessError {
        let (process, tail) = (self.name().to_owned(), self.log.tail(TAIL));
        match wait {
            Wait::TimedOut => ProcessError::TimedOut { process, waiting_for, after: deadline, tail },
            Wait::Exited(status) => ProcessError::Exited { process, waiting_for, status, tail },
            Wait::Failed(error) => error,
        }
    }

    fn signal(
        &mut self,
        doing: &'static str,
        send: impl FnOnce(&Running) -> io::Result<()>,
    ) -> Result<(), ProcessError> {
        if let Some(status) = self.exit_status()? {
            return Err(ProcessError::NotRunning {
                process: self.name().to_owned(),
                doing,
                status,
                tail: self.log.tail(TAIL),
            });
        }
        match &self.state {
            State::Running(running) => send(running).map_err(|source| self.system(doing, source)),
            State::Ended(_) => Ok(()),
        }
    }

    /// Kills the rest of the group, and stores the status.
    fn end(&mut self) -> Result<ExitStatus, ProcessError> {
        let ended = match &mut self.state {
            State::Ended(status) => return Ok(*status),
            State::Running(running) => running.end(),
        };
        let status = ended.map_err(|source| self.system("taking its status", source))?;
        self.state = State::Ended(status);
        Ok(status)
    }

    fn system(&self, doing: &'static str, source: io::Error) -> ProcessError {
        ProcessError::System { process: self.name().to_owned(), doing, source }
    }
}

/// Why a wait ended without a value.
enum Wait {
    TimedOut,
    Exited(ExitStatus),
    Failed(ProcessError),
}

impl Drop for Process {
    #[expect(clippy::print_stderr, reason = "the harness shows it with the failed test")]
    fn drop(&mut self) {
        // A drop can't return an error; the watchdog kills processes that this could not.
        let _ = self.end();
        if thread::panicking() {
            let lines = self.log.tail(TAIL_OF_FAILED_TEST);
            eprintln!("---- log of {} ({} lines) ----", self.name(), lines.len());
            for line in lines {
                eprintln!("{line}");
            }
        }
    }
}
