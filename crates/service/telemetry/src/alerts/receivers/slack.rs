//! Sends alerts to Slack, and to services that accept its messages: Mattermost, and Discord with
//! its `/slack` endpoint.

use reqwest::Url;
use serde_json::json;
use tidegate_outgoing::webhook::{Message, Sender};
use tidegate_perfmon::{Phase, Severity};

use super::context::Context;
use super::failure::{Failure, taken};
use crate::alerts::notice::Notice;
use crate::alerts::sentence;

#[derive(Debug)]
pub(super) struct Slack {
    pub(super) url: Url,
    pub(super) sender: Sender,
}

impl Slack {
    pub(super) async fn send(&self, notice: &Notice, context: &Context) -> Result<(), Failure> {
        let body = json!({"text": text(notice, context)}).to_string();
        let message = Message { event: &notice.event, trace: notice.trace(), body };
        taken(self.sender.post(&self.url, None, message).await?)
    }
}

fn text(notice: &Notice, context: &Context) -> String {
    let alert = &notice.step.alert;
    let sign = match (alert.phase, alert.severity) {
        (Phase::Firing, Severity::Critical) => ":rotating_light:",
        (Phase::Firing, _) => ":warning:",
        (Phase::Expired, _) => ":grey_question:",
        _ => ":white_check_mark:",
    };
    let severity = alert.severity.name();
    let words = escaped(&format!("{}. {}", sentence::summary(alert), sentence::source(notice)));
    let link = context.dashboard.as_deref().map(|url| format!(" <{}|Dashboard>", escaped(url).replace('|', "%7C")));
    format!("{sign} *{severity}*: {words}{}", link.unwrap_or_default())
}

/// Escapes the three characters of Slack's links and mentions, such as `<!channel>`.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alerts::test_alert::{alert, notice};

    #[test]
    fn a_text_names_alert_and_source_and_mentions_no_user() {
        let mut alert = alert("tenant_anomaly", "<!channel>");
        "a & b".clone_into(&mut alert.detail);
        let context = Context { installation: "cafe".into(), dashboard: Some("https://example.com/dashboard".into()) };
        assert_eq!(
            text(&notice(alert), &context),
            ":rotating_light: *critical*: tenant_anomaly of &lt;!channel&gt; is firing: a &amp; b. \
             Reported by tidegate-api 7c0f6b0e on node-1. <https://example.com/dashboard|Dashboard>"
        );
    }
}
