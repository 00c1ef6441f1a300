//! Measurement, health, alerts and export of metrics.

use std::time::Duration;

use lettre::message::Mailboxes;
use reqwest::Url;
use tidegate_base::public_address::is_private_host;
use tidegate_model::alert_rules::standing_rules;
use tidegate_model::alert_rules::{self, RuleChanges};
use tidegate_perfmon::{BurnRate, HealthConfig, Kind, QueryConfig, mask};

use super::reader::Reader;
use super::{Hidden, SettingsError, Tokens};

/// Performance monitoring.
#[derive(Debug, Clone)]
pub struct PerformanceSettings {
    /// Requests that take longer are logged and listed.
    pub slow_api_log: Duration,
    /// Operations of a kind that take longer are listed.
    pub warn: Vec<(Kind, Duration)>,
    /// Thresholds of health.
    pub health: HealthConfig,
    /// Settings of the record of statements.
    pub queries: QueryConfig,
    /// Maximum number of endpoints, and of operations, that are measured by name.
    pub endpoints: usize,
    /// Whether `/metrics` and the details of `/health` require the read token.
    pub metrics_need_token: bool,
    /// Whether advice may be carried out automatically where possible.
    pub acts: bool,
    /// Recipients of alerts.
    pub alerts: AlertSettings,
    /// Collector of traces and metrics, if any.
    pub otlp: Option<OtlpSettings>,
}

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

/// An OpenTelemetry collector.
#[derive(Debug, Clone)]
pub struct OtlpSettings {
    /// Base URL for `/v1/traces` and `/v1/metrics`. For some collectors its path is a key.
    pub endpoint: Hidden,
    /// Additional headers as `name=value`, separated by commas.
    pub headers: Option<Hidden>,
    /// Share of the traces started here that are sent.
    pub sample: f64,
    /// Interval at which metrics are sent.
    pub interval: Duration,
    /// Additional attributes of the sender, by name. No value looks like a secret.
    pub resource: Vec<(String, String)>,
}

impl PerformanceSettings {
    /// Returns the duration above which an operation of that kind is listed.
    pub fn warning_of(&self, kind: Kind) -> Duration {
        let set = self.warn.iter().find(|(set, _)| *set == kind);
        set.map_or_else(|| kind.default_threshold(), |(_, above)| *above)
    }
}

const MICROSECOND: Duration = Duration::from_micros(1);
const MILLISECOND: Duration = Duration::from_millis(1);
/// Longer durations are not measured separately.
const LONGEST: Duration = Duration::from_secs(137);

pub(super) fn read(raw: &Reader<'_>, tokens: &Tokens) -> Result<PerformanceSettings, SettingsError> {
    let time = |key| raw.duration(key, MILLISECOND, LONGEST);
    let health = HealthConfig {
        error_rate: raw.share("performance.error_rate")?,
        aborted: raw.share("performance.aborted")?,
        p99: time("performance.p99")?,
        slow_api: time("performance.slow_api")?,
        slow_query: raw.duration("performance.slow_query", MICROSECOND, LONGEST)?,
        pool_in_use: raw.share("performance.pool_in_use")?,
        pool_wait: time("performance.pool_wait")?,
        pool_stuck: time("performance.pool_stuck")?,
        hit_rate: raw.share("performance.hit_rate")?,
        min_samples: raw.count("performance.min_samples", 1..=1_000_000)?,
        ..HealthConfig::default()
    };
    let queries = QueryConfig {
        shapes: raw.count("performance.fingerprints", 1..=100_000)?,
        slow: health.slow_query,
        alike: raw.count("performance.n_plus_one", 1..=100_000)?,
        ..QueryConfig::default()
    };
    let warn = [
        (Kind::Database, "performance.warn_database"),
        (Kind::Api, "performance.warn_api"),
        (Kind::Cache, "performance.warn_cache"),
        (Kind::Rendering, "performance.warn_rendering"),
    ];
    Ok(PerformanceSettings {
        slow_api_log: time("performance.slow_api_log")?,
        warn: warn.into_iter().map(|(kind, key)| Ok((kind, time(key)?))).collect::<Result<_, SettingsError>>()?,
        health,
        queries,
        endpoints: raw.count("performance.endpoints", 1..=10_000)?,
        metrics_need_token: metrics_need_token(raw, tokens)?,
        acts: raw.switch("performance.actions")?,
        alerts: alerts(raw)?,
        otlp: otlp(raw)?,
    })
}

fn alerts(raw: &Reader<'_>) -> Result<AlertSettings, SettingsError> {
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
    let most = raw.count("email.max_recipients", 1..=1000)?;
    let wanted =
        || raw.invalid(KEY, format!("must be 1 to {most} addresses such as ops@example.com, separated by commas"));
    let addresses: Mailboxes = text.parse().map_err(|_| wanted())?;
    let addresses: Vec<_> = addresses.into_iter().map(|address| address.to_string()).collect();
    if (1..=most).contains(&addresses.len()) { Ok(addresses) } else { Err(wanted()) }
}

fn metrics_need_token(raw: &Reader<'_>, tokens: &Tokens) -> Result<bool, SettingsError> {
    const KEY: &str = "performance.metrics_access";
    let need = raw.required(KEY, "`open` or `token`", |text| match text {
        "open" => Some(false),
        "token" => Some(true),
        _ => None,
    })?;
    if need && tokens.read.is_none() && tokens.admin.is_none() {
        return Err(raw.invalid(KEY, "`token` needs tokens.read or tokens.admin for any access".to_owned()));
    }
    Ok(need)
}

/// Everything is checked even without a collector, so that a mistake shows when it is made.
fn otlp(raw: &Reader<'_>) -> Result<Option<OtlpSettings>, SettingsError> {
    let headers = raw.headers("otlp.headers")?;
    let sample = raw.required("otlp.sample", "a share from 0 to 1, such as 0.1", |text| {
        text.parse().ok().filter(|share| (0.0..=1.0).contains(share))
    })?;
    let interval = raw.duration("otlp.interval", Duration::from_secs(1), Duration::from_secs(3600))?;
    let resource = resource(raw)?;
    let endpoint = raw.secret_base_url("otlp.endpoint")?;
    if endpoint.is_some() && !cfg!(feature = "otlp") {
        let reason = "this program was built without the feature `otlp`, and so sends nothing; unset it";
        return Err(raw.invalid("otlp.endpoint", reason.to_owned()));
    }
    Ok(endpoint.map(|endpoint| OtlpSettings { endpoint, headers, sample, interval, resource }))
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

/// Attributes that the process sets itself.
const OWN: [&str; 2] = ["service.version", "service.instance.id"];
/// Maximum number of attributes, and of bytes in a name and a value.
const MOST_ATTRIBUTES: usize = 32;
const LONGEST_NAME: usize = 128;
const LONGEST_VALUE: usize = 256;

fn resource(raw: &Reader<'_>) -> Result<Vec<(String, String)>, SettingsError> {
    const KEY: &str = "otlp.resource";
    let wanted = "`name=value` separated by commas, such as deployment.environment.name=production, none twice; \
                  service.version and service.instance.id are the process's own";
    let told = raw.optional(KEY, wanted, |text| {
        let pairs: Option<Vec<_>> = text.split(',').map(attribute).collect();
        let pairs = pairs.filter(|pairs| pairs.len() <= MOST_ATTRIBUTES)?;
        let is_twice = |at: usize| pairs[..at].iter().any(|(name, _)| *name == pairs[at].0);
        if (0..pairs.len()).any(is_twice) { None } else { Some(pairs) }
    })?;
    let pairs = told.unwrap_or_default();
    match pairs.iter().find(|(_, value)| mask(value) != value.as_str()) {
        Some((name, _)) => {
            Err(raw
                .invalid(KEY, format!("the value of {name} looks like a secret, and goes out with all that is sent")))
        }
        None => Ok(pairs),
    }
}

fn attribute(pair: &str) -> Option<(String, String)> {
    let (name, value) = pair.split_once('=')?;
    let (name, value) = (name.trim(), value.trim());
    let is_name = (1..=LONGEST_NAME).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'))
        && !OWN.contains(&name);
    let is_value = (1..=LONGEST_VALUE).contains(&value.len()) && !value.chars().any(char::is_control);
    (is_name && is_value).then(|| (name.to_owned(), value.to_owned()))
}

/// Whether the text is an HTTP URL without user, password, query and fragment.
#[cfg(test)]
mod tests {
    use super::*;
    use crate::RawSettings;
    use crate::test_ground::check_with;

    #[test]
    fn defaults_are_those_of_the_library() {
        let performance = check_with(&[]).unwrap().performance;
        assert_eq!(performance.health, HealthConfig::default());
        assert_eq!(performance.queries, QueryConfig::default());
        assert!(performance.warn.iter().all(|(kind, above)| *above == kind.default_threshold()));
        assert_eq!(performance.warn.len(), Kind::ALL.len());
        assert!(performance.otlp.is_none() && performance.alerts.webhook.is_none() && !performance.acts);
    }

    #[test]
    fn whatever_the_settings_take_health_can_be_judged_by() {
        for (variable, values) in [
            ("TIDEGATE_PERFORMANCE_ERROR_RATE", ["0.000001", "0.999999"]),
            ("TIDEGATE_PERFORMANCE_HIT_RATE", ["0.01", "0.99"]),
            ("TIDEGATE_PERFORMANCE_ABORTED", ["0.01", "0.99"]),
            ("TIDEGATE_PERFORMANCE_P99", ["1ms", "137s"]),
            ("TIDEGATE_PERFORMANCE_SLOW_QUERY", ["1ms", "137s"]),
            ("TIDEGATE_PERFORMANCE_POOL_WAIT", ["1ms", "137s"]),
            ("TIDEGATE_PERFORMANCE_POOL_STUCK", ["1ms", "137s"]),
        ] {
            for value in values {
                let performance = check_with(&[(variable, value)]).unwrap().performance;
                assert_eq!(performance.health.check(), Ok(()), "{variable}={value}");
            }
        }
        for value in ["0", "1", "NaN", "-0.1", "inf"] {
            let error = check_with(&[("TIDEGATE_PERFORMANCE_ERROR_RATE", value)]).unwrap_err().to_string();
            assert!(error.contains("TIDEGATE_PERFORMANCE_ERROR_RATE"), "{error}");
        }
    }

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
    fn figures_behind_a_token_want_one_that_is_set() {
        let closed = ("TIDEGATE_PERFORMANCE_METRICS_ACCESS", "token");
        let service = ("TIDEGATE_SERVICE_TOKEN", "service-token-0123456789");
        for without in [vec![closed], vec![closed, service]] {
            let error = check_with(&without).unwrap_err().to_string();
            assert!(error.contains("TIDEGATE_PERFORMANCE_METRICS_ACCESS") && error.contains("tokens.read"), "{error}");
        }
        let read = ("TIDEGATE_READ_TOKEN", "read-token-0123456789");
        assert!(check_with(&[closed, read]).unwrap().performance.metrics_need_token);
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

    #[test]
    #[cfg(feature = "otlp")]
    fn what_is_said_of_the_sender_is_checked_and_holds_no_secret() {
        let set = |text: &str| {
            let collector = ("TIDEGATE_OTLP_ENDPOINT", "http://127.0.0.1:4318");
            check_with(&[collector, ("TIDEGATE_OTLP_RESOURCE", text)]).map(|all| all.performance.otlp.unwrap().resource)
        };
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let told = set("service.name = shop, deployment.environment.name=production").unwrap();
        assert_eq!(told, [pair("service.name", "shop"), pair("deployment.environment.name", "production")]);
        for wrong in ["", "a", "a=", "=b", "a=b,", "a=b,a=c", "a b=c", "service.instance.id=1", "service.version=2"] {
            // An empty text means that the setting is not set.
            assert_eq!(set(wrong).is_err(), !wrong.is_empty(), "{wrong:?}");
        }
        let error = set("owner=ada@example.org").unwrap_err().to_string();
        assert!(error.contains("owner") && error.contains("secret") && !error.contains("ada@"), "{error}");
    }

    #[test]
    #[cfg(not(feature = "otlp"))]
    fn a_program_that_cannot_export_refuses_a_collector() {
        let error = check_with(&[("TIDEGATE_OTLP_ENDPOINT", "http://127.0.0.1:4318")]).unwrap_err().to_string();
        assert!(error.contains("TIDEGATE_OTLP_ENDPOINT") && error.contains("feature `otlp`"), "{error}");
    }

    #[test]
    #[cfg(feature = "otlp")]
    fn a_collector_is_an_http_url_without_a_password() {
        let otlp = check_with(&[("TIDEGATE_OTLP_ENDPOINT", "http://127.0.0.1:4318/")]).unwrap().performance.otlp;
        let otlp = otlp.unwrap();
        assert_eq!((otlp.endpoint.reveal(), otlp.sample), ("http://127.0.0.1:4318/", 1.0));
        for wrong in [
            "127.0.0.1:4318",
            "grpc://host:4317",
            "http://user:word@host",
            "http://host/?x=y",
            "http://host/#x",
            "http://",
        ] {
            assert!(check_with(&[("TIDEGATE_OTLP_ENDPOINT", wrong)]).is_err(), "{wrong}");
        }
        assert!(check_with(&[("TIDEGATE_OTLP_SAMPLE", "1.5")]).is_err());
    }
}
