//! The alerts that fire, and their silences.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use maud::{Markup, html};
use serde::Deserialize;
use serde_json::Value;

use super::{OverviewQuery, said};
use crate::pages::again::Again;
use crate::pages::flash;
use crate::pages::form::{Change, number, signed};
use crate::pages::here::Here;
use crate::pages::layout::{Button, Frame};
use crate::pages::text;
use crate::routes::performance::silences::{self, NewSilence};
use tidegate_web::app::App;
use tidegate_web::problem::Problem;

const FORM: &str = "silence";

/// `frame` is set if the visitor may make changes.
pub(super) fn show(frame: Option<&Frame>, firing: &[Value], silences: &[Value], again: &Again) -> Markup {
    html! {
        @if firing.is_empty() {
            p.none { "None." }
        } @else {
            ul.items { @for alert in firing { li { (fires(frame, alert, again)) } } }
        }
        @if !silences.is_empty() {
            h3 { "Silenced" }
            ul.items { @for silence in silences { li { (silenced(frame, silence)) } } }
        }
    }
}

fn fires(frame: Option<&Frame>, alert: &Value, again: &Again) -> Markup {
    let number = |value: &Value| text::or_none(value.as_f64(), text::places);
    let is_silenced = alert["silenced"] == true;
    html! {
        p { span.state data-state="bad" { (said(&alert["severity"])) } " " (name(alert)) }
        p.note {
            (number(&alert["value"])) ", threshold " (number(&alert["threshold"]))
            @if let Some(since) = alert["fired_at_unix_ms"].as_u64() { ", since " (text::moment(since)) " UTC" }
            @if is_silenced { ", silenced" }
            @if let Some(processes) = alert["processes"].as_array().filter(|processes| !processes.is_empty()) {
                ", reported by " (text::visible(&names(processes)))
            }
        }
        @if let Some(frame) = frame.filter(|_| !is_silenced) { (silence_form(frame, alert, again)) }
    }
}

/// Returns the first process, and the number of others.
fn names(processes: &[Value]) -> String {
    const SHOWN: usize = 3;
    let first: Vec<_> = processes.iter().take(SHOWN).map(said).collect();
    match processes.len().saturating_sub(SHOWN) {
        0 => first.join(", "),
        more => format!("{} and {more} more", first.join(", ")),
    }
}

fn silence_form(frame: &Frame, alert: &Value, again: &Again) -> Markup {
    // Each field has its own label, even with many open forms.
    let id = |field: &str| format!("{field} {} {}", said(&alert["rule"]), said(&alert["subject"])).replace(' ', "-");
    let (minutes, reason) = (id("minutes"), id("reason"));
    let is_refused = again.typed(FORM, "rule") == alert["rule"].as_str()
        && again.typed(FORM, "subject") == Some(alert["subject"].as_str().unwrap_or_default());
    let none = Again::default();
    let again = if is_refused { again } else { &none };
    html! {
        details open[is_refused] {
            summary { "Silence" span.visually-hidden { " " (name(alert)) } }
            form.row.below method="post" action="/dashboard/silence" {
                (frame.field())
                (which(alert))
                div {
                    label for=(minutes) { "Minutes" }
                    (again.message(FORM, "minutes"))
                    input id=(minutes) type="number" name="minutes" min="1" max=(silences::MOST_MINUTES) value=(again.typed(FORM, "minutes").unwrap_or("60")) required autofocus[again.is_at(FORM, "minutes")] aria-describedby=[again.described_by(FORM, "minutes")];
                }
                div.grow {
                    label for=(reason) { "Comment" }
                    (again.message(FORM, "reason"))
                    input id=(reason) name="reason" maxlength="256" required value=[again.typed(FORM, "reason")] autofocus[again.is_at(FORM, "reason")] aria-describedby=[again.described_by(FORM, "reason")];
                }
                button { "Silence" }
            }
        }
    }
}

fn silenced(frame: Option<&Frame>, silence: &Value) -> Markup {
    let mut fields = vec![("rule", said(&silence["rule"]))];
    fields.extend(silence["subject"].as_str().map(|subject| ("subject", subject)));
    let lift = Button { action: "/dashboard/lift-silence", label: "End silence", about: fields[0].1, asks: None };
    html! {
        p { (name(silence)) }
        p.note {
            @if let Some(until) = silence["until_unix_ms"].as_u64() { "until " (text::moment(until)) " UTC: " }
            (text::visible(said(&silence["reason"])))
        }
        @if let Some(frame) = frame { (frame.button(&lift, &fields)) }
    }
}

/// Rule and subject, of an alert or of a silence.
fn name(of: &Value) -> Markup {
    html! { (said(&of["rule"])) @if let Some(subject) = of["subject"].as_str().filter(|subject| !subject.is_empty()) { " · " (text::visible(subject)) } }
}

fn which(alert: &Value) -> Markup {
    html! {
        input type="hidden" name="rule" value=(said(&alert["rule"]));
        @if let Some(subject) = alert["subject"].as_str() { input type="hidden" name="subject" value=(subject); }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::pages) struct Silencing {
    form: String,
    rule: String,
    subject: Option<String>,
    minutes: String,
    reason: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::pages) struct Lifting {
    form: String,
    rule: String,
    subject: Option<String>,
}

signed!(Silencing, Lifting);

pub(in crate::pages) async fn silence(
    State(app): State<App>,
    Change { wanted: Silencing { rule, subject, minutes, reason, .. }, frame }: Change<Silencing>,
) -> Result<Response, Problem> {
    let silenced = match number("minutes", &minutes) {
        Ok(minutes) => {
            let new = NewSilence { rule: rule.clone(), subject: subject.clone(), minutes, reason: reason.clone() };
            silences::silence(&app, new).await
        }
        Err(problem) => Err(problem),
    };
    let Err(problem) = silenced else { return Ok(flash::said(Here::Overview.path(), "silenced").into_response()) };
    let subject = subject.unwrap_or_default();
    let typed = [("minutes", &*minutes), ("reason", &*reason), ("rule", &*rule), ("subject", &*subject)];
    let again = Again::of(FORM, &typed, problem)?;
    Ok(super::page(&app, &OverviewQuery::default(), &frame, &again))
}

pub(in crate::pages) async fn lift(
    State(app): State<App>,
    Change { wanted, .. }: Change<Lifting>,
) -> Result<Response, Problem> {
    let lifted = app.node().telemetry.alerts().lift_silence(&wanted.rule, wanted.subject.as_deref()).await?;
    Ok(flash::said(Here::Overview.path(), if lifted { "silence-lifted" } else { "not-silenced" }).into_response())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_alert_shows_its_cause_its_value_and_its_start() {
        let shown = show(
            None,
            &[json!({
                "severity": "critical", "rule": "error_rate", "subject": "<script>", "value": 0.25, "threshold": 0.05,
                "fired_at_unix_ms": 1_900_000_000_000_u64, "silenced": true, "phase": "firing",
                "processes": ["one on a", "two on b", "three on c", "four on d"],
            })],
            &[],
            &Again::default(),
        )
        .into_string();
        for part in [
            "critical",
            "error_rate",
            "&lt;script&gt;",
            "0.25, threshold 0.05",
            "since 03-17 17:46:40 UTC",
            "silenced",
            "reported by one on a, two on b, three on c and 1 more",
        ] {
            assert!(shown.contains(part), "{part}: {shown}");
        }
        assert!(!shown.contains("<script>"), "{shown}");
        assert!(show(None, &[], &[], &Again::default()).into_string().contains("None."));
        assert!(
            show(None, &[json!({})], &[], &Again::default()).into_string().contains(text::NONE),
            "a missing value is a dash"
        );
    }
}
