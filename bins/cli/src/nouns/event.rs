//! `tidegate event`.

use clap::Subcommand;

use crate::context::Context;
use crate::failure::Failure;
use crate::follow::{self, Limits, follow};

#[derive(Debug, Subcommand)]
#[command(subcommand_value_name = "VERB", subcommand_help_heading = "Verbs")]
pub(crate) enum Events {
    /// Follow everything that happens
    Tail {
        /// Topics with commas between: alerts, health, outlook, advice, queues, jobs
        #[arg(long, default_value = "alerts,health,outlook,advice")]
        topics: String,
        #[command(flatten)]
        limits: Limits,
    },
}

impl Events {
    pub(crate) async fn run(self, context: &Context) -> Result<(), Failure> {
        let Self::Tail { topics, limits } = self;
        follow(context, &topics, limits, |event| Some(follow::any_line(event))).await
    }
}
