//! Recipients of alerts, and their rules.

use lettre::message::Mailboxes;
use reqwest::Url;
use tidegate_base::public_address::is_private_host;
use tidegate_model::alert_rules::{self, RuleChanges, standing_rules};
use tidegate_perfmon::BurnRate;

use crate::error::SettingsError;
use crate::hidden::Hidden;
use crate::reader::Reader;
use crate::setting::{Setting, secret, setting};

pub(crate) const SETTINGS: &[Setting] = &[
    // The URL of a webhook often is its password.
    secret("alerts.webhook", "TIDEGATE_ALERTS_WEBHOOK", "URL that each alert is posted to"),
    secret(
        "alerts.webhook_secret",
        "TIDEGATE_ALERTS_WEBHOOK_SECRET",
        "key of the HMAC-SHA256 signature of these posts",
    ),
    secret(
        "alerts.slack_url",
        "TIDEGATE_ALERTS_SLACK_URL",
        "incoming webhook of Slack, Mattermost or Discord (its `/slack` endpoint) that alerts are posted to",
    ),
    secret(
        "alerts.pagerduty_key",
        "TIDEGATE_ALERTS_PAGERDUTY_KEY",
        "integration key of a PagerDuty service (Events API v2) that receives the alerts",
    ),
    setting(
        "alerts.pagerduty_url",
        "TIDEGATE_ALERTS_PAGERDUTY_URL",
        Some("https://events.pagerduty.com/v2/enqueue"),
        "URL of the PagerDuty events API; in the EU https://events.eu.pagerduty.com/v2/enqueue",
    ),
    setting(
        "alerts.email",
        "TIDEGATE_ALERTS_EMAIL",
        None,
        "addresses, separated by commas, that alerts are mailed to through the server of email.url",
    ),
    setting(
        "alerts.dashboard_url",
        "TIDEGATE_ALERTS_DASHBOARD_URL",
        None,
        "URL of the dashboard that alerts link to, such as https://tidegate.example.com/dashboard",
    ),
    setting(
        "alerts.private_addresses",
        "TIDEGATE_ALERTS_PRIVATE_ADDRESSES",
        Some("off"),
        "`on`: receivers of alerts may be on a private network",
    ),
    setting(
        "alerts.objective",
        "TIDEGATE_ALERTS_OBJECTIVE",
        Some("99.9%"),
        "target share of good responses; the rest is the error budget: above 93.06%, such as 99.5% or 0.995",
    ),
    setting(
        "alerts.rules",
        "TIDEGATE_ALERTS_RULES",
        None,
        "alert rules, separated by commas: `backlog: > 5000 for 5m` changes one, `backlog: off` switches it off, `NAME: METRIC{label=value} > 500 for 2m critical` adds one on any metric of /metrics (docs/operations/alerts.md)",
    ),
];

/// Recipients of alerts, beside the log and the event stream.
#[derive(Debug, Clone)]
pub struct AlertSettings {
    /// URL that each alert is posted to.
    pub webhook: Option<Hidden>,
    /// Key of the signature on these posts.
    pub webhook_secret: Option<Hidden>,
    /// Incoming webhook of Slack or a compatible service.
    pub slack: Option<Hidden>,
    /// Integration key of `PagerDuty`.
    pub pagerduty_key: Option<Hidden>,
    /// URL of the `PagerDuty` events API.
    pub pagerduty_url: Option<String>,
    /// Addresses that receive alerts by mail.
    pub email: Vec<String>,
    /// URL of the dashboard, for links.
    pub dashboard: Option<String>,
    /// Whether these URLs may have an address in a private network.
    pub private_addresses: bool,
    /// Target share of good responses.
    pub objective: f64,
    /// Changes to the built-in alert rules, and the operator's own rules.
    pub rules: RuleChanges,
}

impl Default for AlertSettings {
    fn default() -> Self {
        Self {
            webhook: None,
            webhook_secret: None,
            slack: None,
            pagerduty_key: None,
            pagerduty_url: None,
            email: Vec::new(),
            dashboard: None,
            private_addresses: false,
            objective: 0.999,
            rules: RuleChanges::default(),
        }
    }
}

pub(crate) fn alerts(raw: &Reader<'_>) -> Result<AlertSettings, SettingsError> {
    let objective = objective(raw)?;
    let alerts = AlertSettings {
        webhook: raw.secret_url("alerts.webhook")?,
        webhook_secret: raw.signing_key("alerts.webhook_secret")?,
        slack: raw.secret_url("alerts.slack_url")?,
        pagerduty_key: raw.signing_key("alerts.pagerduty_key")?,
        pagerduty_url: raw.url("alerts.pagerduty_url")?,
        email: addresses(raw)?,
        dashboard: raw.url("alerts.dashboard_url")?,
        private_addresses: raw.switch("alerts.private_addresses")?,
        objective,
        rules: alert_rules(raw, &BurnRate::standard(objective))?,
    };
    let posts_to = [
        ("alerts.webhook", alerts.webhook.as_ref().map(Hidden::reveal)),
        ("alerts.slack_url", alerts.slack.as_ref().map(Hidden::reveal)),
        ("alerts.pagerduty_url", alerts.pagerduty_url.as_deref()),
    ];
    let is_private = |url: &str| url.parse::<Url>().is_ok_and(|url| url.host_str().is_some_and(is_private_host));
    let private = posts_to.into_iter().find(|(_, url)| url.is_some_and(is_private)).map(|(key, _)| key);
    match private {
        Some(key) if !alerts.private_addresses => {
            let reason = "is at a private address, to which no alert is posted: set alerts.private_addresses \
                          (TIDEGATE_ALERTS_PRIVATE_ADDRESSES) to on, or name a receiver on the internet";
            Err(raw.invalid(key, reason.to_owned()))
        }
        _ => Ok(alerts),
    }
}

fn alert_rules(raw: &Reader<'_>, objective: &BurnRate) -> Result<RuleChanges, SettingsError> {
    const KEY: &str = "alerts.rules";
    let Some((text, _)) = raw.text(KEY) else { return Ok(RuleChanges::default()) };
    alert_rules::parse(text, &standing_rules(objective)).map_err(|error| raw.invalid(KEY, error.to_string()))
}

/// Addresses separated by commas, as many as a mail may have. An error does not repeat an address.
fn addresses(raw: &Reader<'_>) -> Result<Vec<String>, SettingsError> {
    const KEY: &str = "alerts.email";
    let Some((text, _)) = raw.text(KEY) else { return Ok(Vec::new()) };
    let most = raw.options("email.limits")?.count("max_recipients", 1..=1000)?;
    let wanted =
        || raw.invalid(KEY, format!("must be 1 to {most} addresses such as ops@example.com, separated by commas"));
    let addresses: Mailboxes = text.parse().map_err(|_| wanted())?;
    let addresses: Vec<_> = addresses.into_iter().map(|address| address.to_string()).collect();
    if (1..=most).contains(&addresses.len()) { Ok(addresses) } else { Err(wanted()) }
}

/// High enough that an hour of only bad responses exceeds the thresholds of the error budget.
fn objective(raw: &Reader<'_>) -> Result<f64, SettingsError> {
    raw.required(
        "alerts.objective",
        "a share of good responses above 93.06% and below all, as 99.9% or 0.999",
        |text| {
            let share = match text.strip_suffix('%') {
                Some(percent) => percent.trim_end().parse::<f64>().ok()? / 100.0,
                None => text.parse().ok()?,
            };
            BurnRate::standard(share).check().is_ok().then_some(share)
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::RawSettings;
    use crate::test_ground::check_with;

    #[test]
    fn what_is_wrong_with_a_secret_is_told_without_it() {
        for (variable, value) in [
            ("TIDEGATE_ALERTS_WEBHOOK", "ftp://alerts.example.com/hunter2"),
            ("TIDEGATE_ALERTS_WEBHOOK_SECRET", "hunter2"),
            ("TIDEGATE_ALERTS_SLACK_URL", "hooks.slack.com/hunter2"),
            ("TIDEGATE_ALERTS_PAGERDUTY_KEY", "hunter2"),
            ("TIDEGATE_ALERTS_EMAIL", "hunter2, ops@example.com"),
            ("TIDEGATE_OTLP_HEADERS", "authorization: hunter2"),
            ("TIDEGATE_OTLP_ENDPOINT", "ftp://collector.example.com/otlp/hunter2"),
            ("TIDEGATE_OTLP_ENDPOINT", "https://collector.example.com/otlp?key=hunter2"),
        ] {
            let error = check_with(&[(variable, value)]).unwrap_err().to_string();
            assert!(error.contains(variable) && !error.contains("hunter2"), "{error}");
        }
        let set = check_with(&[("TIDEGATE_ALERTS_WEBHOOK", "https://alerts.example.com/hunter2")]).unwrap();
        assert!(!format!("{set:?}").contains("hunter2"));
        assert_eq!(
            set.performance.alerts.webhook.as_ref().map(Hidden::reveal),
            Some("https://alerts.example.com/hunter2")
        );
    }

    #[test]
    fn a_receiver_at_a_private_address_is_refused_unless_a_setting_allows_it() {
        for variable in ["TIDEGATE_ALERTS_WEBHOOK", "TIDEGATE_ALERTS_SLACK_URL", "TIDEGATE_ALERTS_PAGERDUTY_URL"] {
            for url in ["http://127.0.0.1:9/hunter2", "https://10.1.2.3/hunter2", "http://[::1]/hunter2"] {
                let error = check_with(&[(variable, url)]).unwrap_err().to_string();
                assert!(error.contains(variable) && error.contains("alerts.private_addresses"), "{error}");
                assert!(!error.contains("hunter2"), "{error}");
                assert!(check_with(&[(variable, url), ("TIDEGATE_ALERTS_PRIVATE_ADDRESSES", "on")]).is_ok());
            }
            // A name is resolved only when the URL is posted to.
            assert!(check_with(&[(variable, "http://localhost/")]).is_ok());
        }
    }

    #[test]
    fn addresses_of_alerts_are_a_list_with_names_or_without() {
        let set = |text: &str| check_with(&[("TIDEGATE_ALERTS_EMAIL", text)]).map(|all| all.performance.alerts.email);
        assert_eq!(check_with(&[]).unwrap().performance.alerts.email, Vec::<String>::new());
        assert_eq!(
            set("ops@example.com, Ada <ada@example.org>").unwrap(),
            ["ops@example.com", "Ada <ada@example.org>"]
        );
        assert!(set("ops@example.com, ops").is_err());
        assert!(set(&vec!["ops@example.com"; 51].join(",")).is_err());
    }

    #[test]
    fn an_objective_is_a_share_that_the_windows_can_serve() {
        let set =
            |text: &str| check_with(&[("TIDEGATE_ALERTS_OBJECTIVE", text)]).map(|all| all.performance.alerts.objective);
        assert!((check_with(&[]).unwrap().performance.alerts.objective - 0.999).abs() < 1e-12);
        for (text, share) in [("99.5%", 0.995), ("99.5 %", 0.995), ("0.99", 0.99)] {
            assert!((set(text).unwrap() - share).abs() < 1e-12, "{text}");
        }
        for wrong in ["99.5", "1", "100%", "0.9", "0", "NaN", "-1", "%", "all"] {
            let error = set(wrong).unwrap_err().to_string();
            assert!(error.contains("TIDEGATE_ALERTS_OBJECTIVE"), "{wrong}: {error}");
        }
    }

    #[test]
    fn alert_rules_come_from_a_variable_or_a_list_and_a_bad_one_stops_the_start() {
        let set = |text: &str| check_with(&[("TIDEGATE_ALERTS_RULES", text)]).map(|all| all.performance.alerts.rules);
        let rules = set("burn_1h: off, backlog: > 5000, mine: tidegate_queue_length{queue=import} > 5").unwrap();
        assert_eq!((rules.changes.len(), rules.own.len()), (2, 1));
        let file = tempfile::NamedTempFile::new().unwrap();
        let text =
            "[alerts]\nrules = ['burn_1h: off', 'backlog: > 5000', 'mine: tidegate_queue_length{queue=import} > 5']";
        std::fs::write(file.path(), text).unwrap();
        let listed = RawSettings::load(Some(file.path()), []).unwrap().check().unwrap();
        assert_eq!(listed.performance.alerts.rules, rules);
        let error = set("burn_1h: off, backlog: > many").unwrap_err().to_string();
        for part in ["TIDEGATE_ALERTS_RULES", "`backlog`", "character 12", "expected a number", "found `many`"] {
            assert!(error.contains(part), "{part}: {error}");
        }
    }
}
