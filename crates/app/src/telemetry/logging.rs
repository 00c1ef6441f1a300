//! The log: lines on standard error, so that standard output stays for what a person asked for.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

/// Starts the log. `filter` has passed the check of the settings.
///
/// A second call in one process does nothing: tests that start several nodes share the first's log.
pub fn init(filter: &str) {
    let is_terminal = std::io::stderr().is_terminal();
    let started = tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new(filter))
        .with_writer(std::io::stderr)
        .with_ansi(is_terminal)
        .try_init();
    if started.is_err() {
        tracing::debug!("the log was started before");
    }
}
