//! `tidegate alert`.

use clap::Subcommand;
use serde_json::{Value, json};

use crate::call::Call;
use crate::context::Context;
use crate::failure::Failure;
use crate::follow::{self, Event, Limits, follow};
use crate::output::{self, Column, Kind, cell, column, table};

#[derive(Debug, Subcommand)]
#[command(subcommand_value_name = "VERB", subcommand_help_heading = "Verbs")]
pub(crate) enum Alert {
    /// List alerts that fire in any process, and those of the one that answers that are pending or
    /// have ended
    List,
    /// List the rules, and how long a breach lasts before its alert fires
    Rules,
    /// Follow alerts and changes of health
    Tail {
        #[command(flatten)]
        limits: Limits,
    },
}

/// Maximum number of alerts in an answer, as the API allows it.
const MOST: u32 = 100;

const ALERTS: [Column; 9] = [
    column("rule", "/rule", Kind::Text),
    column("subject", "/subject", Kind::Text),
    column("severity", "/severity", Kind::Text),
    column("phase", "/phase", Kind::Text),
    column("silenced", "/silenced", Kind::Text),
    column("since", "/pending_at_unix_ms", Kind::UnixMillis),
    column("ended", "/ended_at_unix_ms", Kind::UnixMillis),
    column("processes", "/processes", Kind::List),
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
            Self::List => list(context).await,
            Self::Rules => context.show(all(), |answer| table(&answer["rules"], &RULES)).await,
            Self::Tail { limits } => follow(context, "alerts,health", limits, |event| Some(line(event))).await,
        }
    }
}

/// Alerts, rules and silences.
pub(super) fn all() -> Call {
    Call::get(["api", "performance"]).query("type", Some("alerts")).query("limit", Some(MOST))
}

async fn list(context: &Context) -> Result<(), Failure> {
    let answer = context.client.send(&all()).await?;
    let alerts = answer.json()?;
    if !alerts["items"].is_array() {
        return Err(answer.foreign("it has no `items`"));
    }
    context.print(&answer, |alerts| table(&rows(alerts), &ALERTS))?;
    if alerts["fleet_is_current"] == false && !context.is_json() {
        output::note("the database is away: these are the alerts of the process that answers alone");
    }
    Ok(())
}

/// The alerts that fire in any process, then the others of the process that answers.
fn rows(alerts: &Value) -> Value {
    let fleet = alerts["fleet"].as_array().map(Vec::as_slice).unwrap_or_default();
    let is_same =
        |one: &Value, other: &Value| ["rule", "subject", "phase"].iter().all(|field| one[*field] == other[*field]);
    let own = alerts["items"].as_array().into_iter().flatten();
    let own = own.filter(|alert| !fleet.iter().any(|other| is_same(alert, other))).cloned().map(|mut alert| {
        if let Some(fields) = alert.as_object_mut() {
            fields.insert("processes".to_owned(), json!([alerts["process"]]));
        }
        alert
    });
    fleet.iter().cloned().chain(own).collect()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alerts_of_all_processes_are_listed_once_with_the_processes_that_report_them() {
        let alert = |rule: &str, phase: &str| json!({"rule": rule, "subject": "", "phase": phase});
        let mut of_others = alert("p99", "firing");
        of_others["processes"] = json!(["api a on one", "api b on two"]);
        let answer = json!({
            "process": "api a on one",
            "items": [alert("p99", "firing"), alert("p99", "resolved"), alert("backlog", "pending"), 7],
            "fleet": [of_others],
        });
        let shown = table(&rows(&answer), &ALERTS);
        let shown: Vec<_> = shown.lines().collect();
        assert_eq!(shown.len(), 5, "{shown:#?}");
        assert!(shown[1].contains("firing") && shown[1].contains("api a on one, api b on two"), "{shown:#?}");
        assert!(shown[2].contains("resolved") && shown[2].contains("api a on one"), "{shown:#?}");
        assert!(shown[3].contains("backlog") && shown[3].contains("pending"), "{shown:#?}");
    }

    #[test]
    fn an_answer_without_a_list_has_no_rows() {
        for answer in [json!(null), json!([1]), json!({"fleet": 1, "items": {}})] {
            assert_eq!(rows(&answer), json!([]));
        }
    }
}
