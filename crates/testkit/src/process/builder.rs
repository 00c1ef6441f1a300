//! Settings of a process.

use std::env;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::{Process, ProcessError};

/// Variables that a developer may have set in the shell, and that would change the behaviour of a
/// tested binary.
const NOT_INHERITED: [&str; 3] = ["DATABASE_URL", "REDIS_URL", "RUST_LOG"];
/// The same, for all variables with this prefix.
const NOT_INHERITED_PREFIX: &str = "TIDEGATE_";

const STOP_DEADLINE: Duration = Duration::from_secs(30);

/// Settings of a [`Process`], kept for its restarts.
///
/// The environment is inherited, except for `TIDEGATE_*`, `DATABASE_URL`, `REDIS_URL` and
/// `RUST_LOG`: these are passed only with [`env`](Self::env). Standard input is empty.
#[derive(Clone, Debug)]
#[must_use = "nothing runs before `start`"]
pub struct ProcessBuilder {
    program: PathBuf,
    name: Option<String>,
    args: Vec<OsString>,
    env: Vec<(OsString, OsString)>,
    directory: Option<PathBuf>,
    stop_deadline: Duration,
    /// `program` as text: the default name.
    file_name: String,
}

impl ProcessBuilder {
    pub(super) fn new(program: PathBuf) -> Self {
        let file_name = program.file_name().unwrap_or(program.as_os_str()).to_string_lossy().into_owned();
        Self {
            program,
            name: None,
            args: Vec::new(),
            env: Vec::new(),
            directory: None,
            stop_deadline: STOP_DEADLINE,
            file_name,
        }
    }

    /// Sets the name in messages, to distinguish two processes of one program. The file name of the
    /// program by default.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Adds an argument.
    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.args.push(arg.as_ref().to_owned());
        self
    }

    /// Adds arguments.
    pub fn args(mut self, args: impl IntoIterator<Item: AsRef<OsStr>>) -> Self {
        self.args.extend(args.into_iter().map(|arg| arg.as_ref().to_owned()));
        self
    }

    /// Sets an environment variable. The last value counts.
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.env.push((name.as_ref().to_owned(), value.as_ref().to_owned()));
        self
    }

    /// Sets the working directory. That of the test by default.
    pub fn current_dir(mut self, directory: impl Into<PathBuf>) -> Self {
        self.directory = Some(directory.into());
        self
    }

    /// Sets how long [`Process::stop`] waits. 30 seconds by default.
    pub fn stop_deadline(mut self, deadline: Duration) -> Self {
        self.stop_deadline = deadline;
        self
    }

    /// Starts the program.
    ///
    /// # Errors
    ///
    /// [`ProcessError::Start`] if the program is missing or cannot run.
    pub fn start(self) -> Result<Process, ProcessError> {
        Process::start(self)
    }

    pub(super) fn program(&self) -> &Path {
        &self.program
    }

    pub(super) fn display_name(&self) -> &str {
        self.name.as_deref().unwrap_or(&self.file_name)
    }

    pub(super) fn stop_within(&self) -> Duration {
        self.stop_deadline
    }

    pub(super) fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.args(&self.args);
        for (name, _) in env::vars_os().filter(|(name, _)| !is_inherited(name)) {
            command.env_remove(name);
        }
        command.envs(self.env.iter().map(|(name, value)| (name, value)));
        if let Some(directory) = &self.directory {
            command.current_dir(directory);
        }
        command
    }
}

fn is_inherited(variable: &OsStr) -> bool {
    let variable = variable.to_string_lossy();
    !variable.starts_with(NOT_INHERITED_PREFIX) && !NOT_INHERITED.contains(&variable.as_ref())
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;

    use super::is_inherited;

    #[test]
    fn a_developers_settings_stay_outside() {
        for variable in ["TIDEGATE_ADMIN_TOKEN", "TIDEGATE_", "DATABASE_URL", "REDIS_URL", "RUST_LOG"] {
            assert!(!is_inherited(OsStr::new(variable)), "{variable}");
        }
        for variable in ["PATH", "HOME", "RUST_BACKTRACE", "OTHER_REDIS_URL"] {
            assert!(is_inherited(OsStr::new(variable)), "{variable}");
        }
    }
}
