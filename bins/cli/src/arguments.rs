//! The command line as a whole.

use std::process::ExitCode;

use clap::{CommandFactory, Parser};

use crate::context::Context;
use crate::failure::Failure;
use crate::nouns::Noun;
use crate::options::{Connection, Style};

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
    connection: Connection,
    #[command(flatten)]
    style: Style,
    #[command(subcommand)]
    noun: Noun,
}

impl Arguments {
    /// Does what the command line says.
    pub(crate) async fn run(self) -> Result<ExitCode, Failure> {
        match self.noun {
            // They need no server, so nothing of the connection has to be usable.
            Noun::Completions(completions) => completions.run(Self::command()).map(|()| ExitCode::SUCCESS),
            noun => noun.run(&Context::new(&self.connection, self.style)?).await,
        }
    }
}
