//! Sends alerts to `PagerDuty` with its Events API v2.

use reqwest::Url;
use serde_json::{Value, json};
use tidegate_base::clock;
use tidegate_outgoing::webhook::{Message, Sender};
use tidegate_perfmon::Phase;
use tidegate_settings::Hidden;

use super::context::Context;
use super::failure::{Failure, taken};
use crate::alerts::notice::Notice;
use crate::alerts::sentence;

/// Maximum number of characters in a summary for `PagerDuty`.
const LONGEST_SUMMARY: usize = 1024;

#[derive(Debug)]
pub(super) struct PagerDuty {
    pub(super) url: Url,
    pub(super) key: Hidden,
    pub(super) sender: Sender,
}

impl PagerDuty {
    pub(super) async fn send(&self, notice: &Notice, context: &Context) -> Result<(), Failure> {
        let body = event(notice, context, self.key.reveal()).to_string();
        let message = Message { event: &notice.event, trace: notice.trace(), body };
        taken(self.sender.post(&self.url, None, message).await?)
    }
}

fn event(notice: &Notice, context: &Context, key: &str) -> Value {
    let alert = &notice.step.alert;
    let dedup_key = notice.dedup_key(&context.installation);
    if !matches!(alert.phase, Phase::Pending | Phase::Firing) {
        return json!({"routing_key": key, "event_action": "resolve", "dedup_key": dedup_key});
    }
    let summary: String = sentence::summary(alert).chars().take(LONGEST_SUMMARY).collect();
    let at = clock::from_ms(i64::try_from(notice.step.at_unix_ms).unwrap_or(i64::MAX));
    let mut event = json!({
        "routing_key": key,
        "event_action": "trigger",
        "dedup_key": dedup_key,
        "client": "Tidegate",
        "payload": {
            "summary": summary,
            "source": notice.source.name(),
            // PagerDuty uses the same names.
            "severity": alert.severity,
            "timestamp": at.to_rfc3339(),
            "class": alert.rule,
            "component": alert.subject,
            "custom_details": {
                "value": alert.value,
                "threshold": alert.threshold,
                "detail": alert.detail,
                "trace_id": alert.trace_id,
                "installation": &*context.installation,
            },
        },
    });
    if let Some(url) = context.dashboard.as_deref() {
        event["client_url"] = json!(url);
        event["links"] = json!([{"href": url, "text": "Dashboard"}]);
    }
    event
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alerts::test_alert::{alert, notice};

    #[test]
    fn an_incident_is_closed_by_the_key_that_opened_it() {
        let context = Context { installation: "cafe".into(), dashboard: Some("https://example.com/dashboard".into()) };
        let mut alert = alert("p99", "");
        let opened = event(&notice(alert.clone()), &context, "routing");
        assert_eq!((&opened["routing_key"], &opened["event_action"]), (&json!("routing"), &json!("trigger")));
        let payload = &opened["payload"];
        assert_eq!(payload["summary"], "p99 is firing: its value is 1, above 0.5");
        assert_eq!(
            (&payload["severity"], &payload["source"]),
            (&json!("critical"), &json!("tidegate-api 7c0f6b0e on node-1"))
        );
        assert_eq!(payload["timestamp"], "2023-11-14T22:13:20+00:00");
        assert_eq!(opened["links"][0]["href"], "https://example.com/dashboard");

        alert.phase = Phase::Expired;
        let closed = event(&notice(alert.clone()), &context, "routing");
        assert_eq!(closed["event_action"], "resolve");
        assert_eq!(closed["dedup_key"], opened["dedup_key"]);
        let elsewhere = Context { installation: "beef".into(), dashboard: None };
        assert_ne!(event(&notice(alert.clone()), &elsewhere, "routing")["dedup_key"], opened["dedup_key"]);
        "x".clone_into(&mut alert.subject);
        assert_ne!(event(&notice(alert), &context, "routing")["dedup_key"], opened["dedup_key"]);
    }
}
