//! The messages to Slack, `PagerDuty` and mail.

use reqwest::Method;
use serde_json::{Value, json};
use tidegate_testkit::{SmtpServer, poll_until};

use super::outage::Outage;
use super::receiver::Receiver;
use super::{metric, until_it_fires};
use crate::harness::DEADLINE;

const ROUTING_KEY: &str = "hunter2-0123456789abcdef01234567";

const DASHBOARD: &str = "https://tidegate.example.com/dashboard";

#[tokio::test]
async fn slack_and_pagerduty_get_messages_as_they_want_them() {
    let [slack, pagerduty] = [Receiver::start().await, Receiver::good().await];
    let (slack_url, pagerduty_url) = (slack.url("/services/hunter2"), pagerduty.url("/v2/enqueue"));
    let mut outage = Outage::prepare(&[
        ("TIDEGATE_ALERTS_SLACK_URL", &slack_url),
        ("TIDEGATE_ALERTS_PAGERDUTY_KEY", ROUTING_KEY),
        ("TIDEGATE_ALERTS_PAGERDUTY_URL", &pagerduty_url),
        ("TIDEGATE_ALERTS_DASHBOARD_URL", DASHBOARD),
        ("TIDEGATE_ALERTS_PRIVATE_ADDRESSES", "on"),
    ])
    .await;
    outage.begin();
    let fired = until_it_fires(&outage.api, "error_rate").await;

    let posted = async |receiver: &Receiver, is_it: &dyn Fn(&Value) -> bool| {
        let posted = poll_until(DEADLINE, async || receiver.taken().into_iter().find(|taken| is_it(&taken.body)));
        posted.await.expect("it is posted").body
    };
    let text = |body: &Value| body["text"].as_str().unwrap_or_default().to_owned();
    let message = text(&posted(&slack, &|body| text(body).contains("error_rate is firing")).await);
    for part in [
        ":rotating_light: *critical*: error_rate is firing: error rate of ",
        " %, above 5 % (",
        "Reported by tidegate-api ",
        "<https://tidegate.example.com/dashboard|Dashboard>",
    ] {
        assert!(message.contains(part), "{part}: {message}");
    }
    let tries = slack.tries();
    assert!(tries.len() >= 3 && tries[..3].iter().all(|event| *event == tries[0]), "refused, hung, taken: {tries:?}");

    let event = posted(&pagerduty, &|body| body["payload"]["class"] == "error_rate").await;
    assert_eq!((&event["routing_key"], &event["event_action"]), (&json!(ROUTING_KEY), &json!("trigger")));
    let payload = &event["payload"];
    assert_eq!(payload["severity"], "critical");
    assert_eq!(payload["custom_details"]["threshold"], fired["threshold"]);
    for (text, part) in [
        (&payload["summary"], "error_rate is firing"),
        (&payload["source"], "tidegate-api "),
        (&payload["timestamp"], "T"),
        (&event["dedup_key"], "tidegate-"),
        (&event["client_url"], DASHBOARD),
    ] {
        assert!(text.as_str().is_some_and(|text| text.contains(part)), "{part}: {event}");
    }
    for (way, outcome, least) in
        [("slack", "failed", 2.0), ("slack", "delivered", 1.0), ("pagerduty", "delivered", 1.0)]
    {
        let name = format!("tidegate_alert_deliveries_total{{way=\"{way}\",outcome=\"{outcome}\"}}");
        assert!(metric(&outage.api, &name).await >= least, "{name}");
    }
    let shown = outage.api.json("/api/performance?type=alerts&limit=100").await.to_string();
    let overview = outage.api.request(Method::GET, "/dashboard").send().await.expect("an answer").text().await;
    for shown in [shown, overview.expect("a page")] {
        assert!(!shown.contains("hunter2"), "{shown}");
    }
    assert_eq!(outage.api.process.log().find(|line| line.contains("hunter2")), None);
}

#[tokio::test]
async fn operators_get_a_mail_of_an_alert() {
    let mails = SmtpServer::start().await;
    let mail_url = mails.url();
    let mut outage = Outage::prepare(&[
        ("TIDEGATE_ALERTS_EMAIL", "ops@example.com, Ada <ada@example.com>"),
        ("TIDEGATE_ALERTS_DASHBOARD_URL", DASHBOARD),
        ("TIDEGATE_EMAIL_URL", &mail_url),
    ])
    .await;
    outage.begin();
    let subject = "Subject: [Tidegate critical] error_rate is firing";
    let mailed = poll_until(DEADLINE, async || mails.received().into_iter().find(|mail| mail.text.contains(subject)));
    let mail = mailed.await.expect("it is mailed");
    assert_eq!(mail.to, ["ops@example.com", "ada@example.com"]);
    for part in ["Severity: critical", "Reported by tidegate-api ", DASHBOARD] {
        assert!(mail.text.contains(part), "{part}: {}", mail.text);
    }
    assert!(metric(&outage.api, "tidegate_alert_deliveries_total{way=\"email\",outcome=\"delivered\"}").await >= 1.0);
}
