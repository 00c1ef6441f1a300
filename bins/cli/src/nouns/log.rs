//! `tidegate log`.

use clap::Subcommand;
use serde_json::json;

use crate::call::Call;
use crate::context::Context;
use crate::failure::Failure;
use crate::output::{Column, Kind, card, column};
use crate::parse;

#[derive(Debug, Subcommand)]
#[command(subcommand_value_name = "VERB", subcommand_help_heading = "Verbs")]
pub(crate) enum Log {
    /// Show what this process logs
    Show,
    /// Change what this process logs, for a while
    Set {
        #[arg(help = "Filter, such as debug or info,tidegate_queue=debug")]
        filter: String,
        /// Time after which the filter of the settings holds again, in whole minutes, up to a day
        #[arg(long = "for", value_name = "TIME", value_parser = parse::minutes)]
        time: u64,
    },
    /// Log what the settings say again
    Reset,
}

const FILTER: [Column; 3] = [
    column("filter", "/filter", Kind::Text),
    column("until", "/until", Kind::Text),
    column("filter of the settings", "/of_settings", Kind::Text),
];

impl Log {
    pub(crate) async fn run(self, context: &Context) -> Result<(), Failure> {
        let path = ["api", "log"];
        let call = match self {
            Self::Show => Call::get(path),
            Self::Set { filter, time } => Call::put(path).body(json!({"filter": filter, "minutes": time})),
            Self::Reset => Call::delete(path),
        };
        context.show(call, |filter| card(filter, &FILTER)).await
    }
}
