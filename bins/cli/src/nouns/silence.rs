//! `tidegate silence`.

use clap::Subcommand;
use serde_json::Value;

use super::alert;
use crate::call::{Call, object};
use crate::context::Context;
use crate::failure::Failure;
use crate::output::{Column, Kind, card, column, table};
use crate::parse;

#[derive(Debug, Subcommand)]
#[command(subcommand_value_name = "VERB", subcommand_help_heading = "Verbs")]
pub(crate) enum Silence {
    /// List silences
    List,
    /// Send no alerts of a rule for a while
    Add {
        /// Rule, as `alert rules` has it
        rule: String,
        /// One of several things under the rule
        #[arg(long)]
        subject: Option<String>,
        /// Length of the silence in whole minutes, up to 30 days
        #[arg(long = "for", value_name = "TIME", value_parser = parse::minutes)]
        time: u64,
        /// Why, for other operators
        #[arg(long)]
        reason: String,
    },
    /// End a silence before its time
    Lift {
        rule: String,
        /// Subject, as it was silenced
        #[arg(long)]
        subject: Option<String>,
    },
}

const SILENCES: [Column; 4] = [
    column("rule", "/rule", Kind::Text),
    column("subject", "/subject", Kind::Text),
    column("until", "/until_unix_ms", Kind::UnixMillis),
    column("reason", "/reason", Kind::Text),
];

impl Silence {
    pub(crate) async fn run(self, context: &Context) -> Result<(), Failure> {
        match self {
            Self::List => context.show(alert::all(), |answer| table(&answer["silences"], &SILENCES)).await,
            Self::Add { rule, subject, time, reason } => {
                let body = object([
                    ("rule", Some(rule.into())),
                    ("subject", subject.map(Value::from)),
                    ("minutes", Some(time.into())),
                    ("reason", Some(reason.into())),
                ]);
                context.show(silences(Call::post).body(body), |silence| card(silence, &SILENCES)).await
            }
            Self::Lift { rule, subject } => {
                let call = silences(Call::delete).query("rule", Some(&rule)).query("subject", subject);
                context.change(call, format!("rule {rule} is no longer silenced")).await
            }
        }
    }
}

fn silences(method: fn([&str; 3]) -> Call) -> Call {
    method(["api", "performance", "silences"])
}
