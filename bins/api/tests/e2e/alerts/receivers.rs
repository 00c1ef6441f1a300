//! What Slack, PagerDuty and mail are sent.

use reqwest::Method;
use serde_json::{Value, json};
use tidegate_testkit::{SmtpServer, poll_until};

use super::outage::Outage;
use super::receiver::Receiver;
use super::{metric, until_it_fires};
use crate::harness::DEADLINE;

const ROUTING_KEY: &str = "hunter2-0123456789abcdef01234567";

#[tokio::test]
async fn slack_pagerduty_and_mail_get_messages_as_they_want_them() {
    let [slack, pagerduty] = [Receiver::start().await, Receiver::good().await];
    let mails = SmtpServer::start().await;
    let (slack_url, pagerduty_url, mail_url) =
        (slack.url("/services/hunter2"), pagerduty.url("/v2/enqueue"), mails.url());
    let mut outage = Outage::prepare(&[
        ("TIDEGATE_ALERTS_SLACK_URL", &slack_url),
        ("TIDEGATE_ALERTS_PAGERDUTY_KEY", ROUTING_KEY),
        ("TIDEGATE_ALERTS_PAGERDUTY_URL", &pagerduty_url),
        ("TIDEGATE_ALERTS_EMAIL", "ops@example.com, Ada <ada@example.com>"),
        ("TIDEGATE_ALERTS_DASHBOARD_URL", "https://tidegate.example.com/dashboard"),
        ("TIDEGATE_EMAIL_URL", &mail_url),
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
    let message = text(&posted(&slack, &|body| text(body).contains("error_rate")).await);
    for part in [
        ":rotating_light: *critical*: error_rate is firing: ",
        " % exceeds the threshold of 5 %",
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
    assert_eq!(
        (&payload["severity"], &payload["custom_details"]["threshold"]),
        (&json!("critical"), &fired["threshold"])
    );
    for (text, part) in [
        (&payload["summary"], "error_rate is firing"),
        (&payload["source"], "tidegate-api "),
        (&payload["timestamp"], "T"),
        (&event["dedup_key"], "tidegate-"),
        (&event["client_url"], "https://tidegate.example.com/dashboard"),
    ] {
        assert!(text.as_str().is_some_and(|text| text.contains(part)), "{part}: {event}");
    }

    let mailed = poll_until(DEADLINE, async || {
        mails
            .received()
            .into_iter()
            .find(|mail| mail.text.contains("Subject: [Tidegate critical] error_rate is firing"))
    });
    let mail = mailed.await.expect("it is mailed");
    assert_eq!(mail.to, ["ops@example.com", "ada@example.com"]);

    for (way, outcome, least) in [
        ("slack", "failed", 2.0),
        ("slack", "delivered", 1.0),
        ("pagerduty", "delivered", 1.0),
        ("email", "delivered", 1.0),
    ] {
        let name = format!("tidegate_alert_deliveries_total{{way=\"{way}\",outcome=\"{outcome}\"}}");
        assert!(metric(&outage.api, &name).await >= least, "{name}");
    }
    let shown = outage.api.json("/api/performance?type=alerts&limit=100").await.to_string();
    let overview = outage.api.request(Method::GET, "/dashboard").send().await.expect("an answer").text().await;
    let overview = overview.expect("a page");
    for told in [shown, overview] {
        assert!(!told.contains("hunter2"), "{told}");
    }
    assert_eq!(outage.api.process.log().find(|line| line.contains("hunter2")), None);
}
