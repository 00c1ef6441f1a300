//! `tidegate scan`.

use clap::Subcommand;
use serde_json::{Value, json};

use crate::call::Call;
use crate::context::Context;
use crate::failure::Failure;
use crate::output::{Column, Kind, card, column};
use crate::parse;

#[derive(Debug, Subcommand)]
#[command(subcommand_value_name = "VERB", subcommand_help_heading = "Verbs")]
pub(crate) enum Scan {
    /// Show the pause between two pages of scans of a kind, such as schedule.reindex
    Show {
        /// Kind of the scans, such as schedule.reindex
        #[arg(value_parser = parse::name)]
        kind: String,
    },
    /// Slow down scans of a kind by a pause between two pages
    Pause {
        /// Kind of the scans, such as schedule.reindex
        #[arg(value_parser = parse::name)]
        kind: String,
        /// Length of the pause
        #[arg(value_name = "TIME", value_parser = parse::millis)]
        pause: u64,
    },
    /// Have scans of a kind pause as their worker's settings say
    Resume {
        /// Kind of the scans, such as schedule.reindex
        #[arg(value_parser = parse::name)]
        kind: String,
    },
}

const SCAN: [Column; 2] = [column("kind", "/kind", Kind::Text), column("pause", "/pause_ms", Kind::Millis)];

impl Scan {
    pub(crate) async fn run(self, context: &Context) -> Result<(), Failure> {
        let set =
            |kind: &str, pause: Value| Call::put(["api", "queue", "scans", kind]).body(json!({"pause_ms": pause}));
        let call = match self {
            Self::Show { kind } => Call::get(["api", "queue", "scans", &kind]),
            Self::Pause { kind, pause } => set(&kind, pause.into()),
            Self::Resume { kind } => set(&kind, Value::Null),
        };
        context.show(call, |scan| card(scan, &SCAN)).await
    }
}
