//! `tidegate advice`.

use clap::Subcommand;
use serde_json::{Value, json};

use crate::call::Call;
use crate::context::Context;
use crate::failure::Failure;
use crate::output::{Column, Kind, below, card, column, generic};

#[derive(Debug, Subcommand)]
#[command(subcommand_value_name = "VERB", subcommand_help_heading = "Verbs")]
pub(crate) enum Advice {
    /// List advice, and what was changed on it
    List,
    /// Let advice change values on this instance
    On,
    /// Keep advice from changing values on this instance
    Off,
    /// Set the value before a change again
    Revert {
        /// Number of the change, as `advice list` has it
        id: u64,
    },
}

const CHANGES: [Column; 5] = [
    column("change", "/id", Kind::Number),
    column("what", "/actuator", Kind::Text),
    column("from", "/from", Kind::Number),
    column("to", "/to", Kind::Number),
    column("advice", "/advice", Kind::Text),
];

impl Advice {
    pub(crate) async fn run(self, context: &Context) -> Result<(), Failure> {
        match self {
            Self::List => {
                let call = Call::get(["api", "performance"]).query("type", Some("advice"));
                context.show(call, listed).await
            }
            Self::On => context.change(switch(true), "advice may change values of this instance").await,
            Self::Off => context.change(switch(false), "advice changes nothing on this instance").await,
            Self::Revert { id } => {
                let call = Call::post(["api", "performance", "actions", &id.to_string(), "revert"]);
                context.show(call, |change| card(change, &CHANGES)).await
            }
        }
    }
}

fn switch(is_on: bool) -> Call {
    Call::post(["api", "performance", "actions"]).body(json!({"enabled": is_on}))
}

fn listed(answer: &Value) -> String {
    let actions = &answer["actions"];
    let state = card(actions, &[column("changes on advice", "/enabled", Kind::Text)]);
    let items = &answer["items"];
    let has_advice = items.as_array().is_some_and(|items| !items.is_empty());
    let advice = if has_advice { format!("{state}\n\n{}", generic(items)) } else { state };
    below(advice, &actions["journal"], &CHANGES)
}
