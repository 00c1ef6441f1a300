//! `tidegate alert`.

use clap::Subcommand;
use serde_json::Value;

use crate::call::Call;
use crate::context::Context;
use crate::failure::Failure;
use crate::follow::{self, Event, Limits, follow};
use crate::output::{Column, Kind, cell, column, table};

#[derive(Debug, Subcommand)]
#[command(subcommand_value_name = "VERB", subcommand_help_heading = "Verbs")]
pub(crate) enum Alert {
    /// List alerts that are pending, fire or have ended
    List,
    /// List the rules, and how long a breach lasts before its alert fires
    Rules,
    /// Follow alerts and changes of health
    Tail {
        #[command(flatten)]
        limits: Limits,
    },
}

const ALERTS: [Column; 8] = [
    column("rule", "/rule", Kind::Text),
    column("subject", "/subject", Kind::Text),
    column("severity", "/severity", Kind::Text),
    column("phase", "/phase", Kind::Text),
    column("silenced", "/silenced", Kind::Text),
    column("since", "/pending_at_unix_ms", Kind::UnixMillis),
    column("ended", "/ended_at_unix_ms", Kind::UnixMillis),
    column("detail", "/detail", Kind::Text),
];

const RULES: [Column; 4] = [
    column("rule", "/id", Kind::Text),
    column("severity", "/severity", Kind::Text),
    column("fires after", "/hold_ms", Kind::Millis),
    column("ends after", "/keep_ms", Kind::Millis),
];

impl Alert {
    pub(crate) async fn run(self, context: &Context) -> Result<(), Failure> {
        match self {
            Self::List => context.list(all(), &ALERTS).await,
            Self::Rules => context.show(all(), |answer| table(&answer["rules"], &RULES)).await,
            Self::Tail { limits } => follow(context, "alerts,health", limits, |event| Some(line(event))).await,
        }
    }
}

/// Alerts, rules and silences.
pub(super) fn all() -> Call {
    Call::get(["api", "performance"]).query("type", Some("alerts"))
}

fn line(event: &Event) -> String {
    let data = &event.data;
    let text = |value: &Value| cell(value, Kind::Text);
    match event.name.as_str() {
        "alert" => {
            let alert = &data["alert"];
            let at = cell(&data["at_unix_ms"], Kind::UnixMillis);
            let what = ["phase", "severity", "rule", "subject", "detail"].map(|field| text(&alert[field]));
            format!("{at}  {}", what.join("  "))
        }
        "health" => {
            format!("health  {}  score {}  {}", text(&data["health"]), text(&data["score"]), text(&data["reason"]))
        }
        _ => follow::any_line(event),
    }
}
