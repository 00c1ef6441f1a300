//! `tidegate completions`.

use clap::{Args, Command};
use clap_complete::{Shell, generate};

use crate::failure::Failure;
use crate::output;

/// Prints the completions of a shell.
#[derive(Debug, Args)]
pub(crate) struct Completions {
    /// Shell that reads them
    shell: Shell,
}

impl Completions {
    /// Prints the completions of `command`.
    pub(crate) fn run(self, mut command: Command) -> Result<(), Failure> {
        // In memory first: a pipe that is closed early would make a panic there.
        let mut script = Vec::new();
        generate(self.shell, &mut command, "tidegate", &mut script);
        output::print(&String::from_utf8_lossy(&script))
    }
}
