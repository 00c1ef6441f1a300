//! The options that every verb has: the server and the output.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use crate::parse;

const DEFAULT_URL: &str = "http://127.0.0.1:8080";

/// The server, and the way to reach it.
#[derive(Debug, Args)]
#[command(next_help_heading = "Connection")]
pub(crate) struct Connection {
    #[arg(long, global = true, value_name = "URL", help = "Address of the API [default: http://127.0.0.1:8080]")]
    url: Option<String>,
    /// File that holds the token, in place of the environment's
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) token_file: Option<PathBuf>,
    /// PEM file of certificates to trust in place of the system's
    #[arg(long, global = true, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// Longest wait for an answer
    #[arg(long, global = true, value_name = "TIME", default_value = "35s", value_parser = parse::timeout)]
    pub(crate) timeout: Duration,
}

impl Connection {
    /// The address of the API, from the flag or the environment.
    pub(crate) fn url(&self) -> String {
        let variable = || variable("TIDEGATE_URL").map(|url| url.to_string_lossy().into_owned());
        self.url.clone().or_else(variable).unwrap_or_else(|| DEFAULT_URL.to_owned())
    }

    /// The file of certificates to trust, from the flag or the environment.
    pub(crate) fn ca(&self) -> Option<PathBuf> {
        self.ca.clone().or_else(|| variable("TIDEGATE_CA").map(PathBuf::from))
    }
}

/// A variable of the environment. An empty one counts as not set.
pub(crate) fn variable(name: &str) -> Option<OsString> {
    std::env::var_os(name).filter(|value| !value.is_empty())
}

/// The form of the output, and whether questions are asked.
#[derive(Debug, Clone, Copy, Args)]
#[command(next_help_heading = "Output")]
pub(crate) struct Style {
    /// Print the JSON of the API instead of a table
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Do not ask before a change of many things
    #[arg(long, short = 'y', global = true)]
    pub(crate) yes: bool,
}
