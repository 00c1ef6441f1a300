//! `tidegate`: operates a Tidegate over its HTTP API.
//!
//! Each noun is a file under [`nouns`]. A verb makes one request ([`call::Call`]) and prints the
//! answer ([`output`]).

mod arguments;
mod call;
mod client;
mod confirm;
mod context;
mod failure;
mod follow;
mod nouns;
mod options;
mod output;
mod parse;
mod token;

use std::process::ExitCode;

use clap::Parser;

use crate::arguments::Arguments;
use crate::failure::Failure;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let ended = Arguments::parse().run().await;
    ended.unwrap_or_else(|failure: Failure| {
        output::complain(&failure);
        ExitCode::from(failure.exit_code())
    })
}
