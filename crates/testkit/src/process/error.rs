//! Errors of processes.

use std::fmt::{self, Write as _};
use std::io;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::Duration;

use crate::log::LogLine;

/// An error of a [`Process`](crate::Process). `Debug` prints the same text as `Display`, so that
/// `unwrap` shows the end of the log as lines.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum ProcessError {
    /// The program did not start.
    #[error("{} does not start", program.display())]
    Start {
        /// The program.
        program: PathBuf,
        /// The reason.
        source: io::Error,
    },
    /// The condition was not met in time.
    #[error("{process}: waited {after:?} in vain for {waiting_for}{}", Tail(tail))]
    TimedOut {
        /// The process.
        process: String,
        /// The condition.
        waiting_for: String,
        /// The deadline.
        after: Duration,
        /// The last lines of the log.
        tail: Vec<LogLine>,
    },
    /// The program ended before the condition was met.
    #[error("{process}: ended ({status}) while this test waited for {waiting_for}{}", Tail(tail))]
    Exited {
        /// The process.
        process: String,
        /// The condition.
        waiting_for: String,
        /// The exit status.
        status: ExitStatus,
        /// The last lines of the log.
        tail: Vec<LogLine>,
    },
    /// The program had ended before.
    #[error("{process}: had ended ({status}) before {doing}{}", Tail(tail))]
    NotRunning {
        /// The process.
        process: String,
        /// The action.
        doing: &'static str,
        /// The exit status.
        status: ExitStatus,
        /// The last lines of the log.
        tail: Vec<LogLine>,
    },
    /// The program was to be started, but it still runs.
    #[error("{process}: still runs; stop or kill it before it is started again")]
    StillRunning {
        /// The process.
        process: String,
    },
    /// A system call failed.
    #[error("{process}: {doing} failed")]
    System {
        /// The process.
        process: String,
        /// The action.
        doing: &'static str,
        /// The reason.
        source: io::Error,
    },
}

impl fmt::Debug for ProcessError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)?;
        match std::error::Error::source(self) {
            Some(source) => write!(f, ": {source}"),
            None => Ok(()),
        }
    }
}

struct Tail<'a>(&'a [LogLine]);

impl fmt::Display for Tail<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("; it printed nothing");
        }
        f.write_str("; it printed last:")?;
        for line in self.0 {
            f.write_char('\n')?;
            fmt::Display::fmt(line, f)?;
        }
        Ok(())
    }
}
