//! The command line as a whole.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser};

use crate::nouns::Noun;
use crate::parse;

const DEFAULT_URL: &str = "http://127.0.0.1:8080";
const AFTER_HELP: &str = "\
Environment:
  TIDEGATE_URL         address of the API, as --url
  TIDEGATE_TOKEN       admin or read token; never an argument, since process lists show those
  TIDEGATE_TOKEN_FILE  file that holds the token, as --token-file
  TIDEGATE_CA          certificates to trust, as --ca

Exit codes:
  0  done
  1  the server refused, the thing was not found, or not all of it was done
  2  wrong usage: an argument, a file or a variable
  3  no connection, or no answer in time
  4  unauthorized: no token, an unknown one, or one that may not do this
  5  the server failed, or the answer is not Tidegate's
  6  `health` alone: degraded or unknown
  7  `health` alone: unhealthy

Examples:
  tidegate health
  tidegate queue list
  tidegate job list import --state dead
  tidegate job enqueue import --kind tour --payload '{\"n\": 1}' --delay 1m
  tidegate limit block api 203.0.113.7 --for 1h
  tidegate cache purge --tag tenant:acme
  tidegate alert tail --json | jq .data";

/// Operates a Tidegate over its HTTP API.
#[derive(Debug, Parser)]
#[command(name = "tidegate", version, after_help = AFTER_HELP, max_term_width = 100)]
#[command(propagate_version = false, subcommand_value_name = "NOUN", subcommand_help_heading = "Nouns")]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) connection: Connection,
    #[command(flatten)]
    pub(crate) style: Style,
    #[command(subcommand)]
    pub(crate) noun: Noun,
}

/// Which server, and how it is reached.
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

/// How it talks.
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
