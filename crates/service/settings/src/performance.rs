//! Measurement and health.

use std::time::Duration;

use tidegate_perfmon::{HealthConfig, Kind, QueryConfig};

use crate::alerts::{AlertSettings, alerts};
use crate::error::SettingsError;
use crate::otlp::{OtlpSettings, otlp};
use crate::reader::Reader;
use crate::setting::{Setting, setting};
use crate::tokens::Tokens;

pub(crate) const SETTINGS: &[Setting] = &[
    setting(
        "performance.slow",
        "TIDEGATE_PERFORMANCE_SLOW",
        Some("request=500ms, database=100ms, api=200ms, cache=10ms, rendering=50ms, n_plus_one=5"),
        "what is listed: requests that take longer, which are also logged; operations of the database, the API, the cache and rendering that take longer; and similar statements in one request beyond that number",
    ),
    setting(
        "performance.health",
        "TIDEGATE_PERFORMANCE_HEALTH",
        Some(
            "error_rate=0.05, aborted=0.2, p99=5s, slow_api=2s, slow_query=1s, hit_rate=0.8, pool_in_use=0.8, pool_wait=1s, pool_stuck=5s, min_samples=20",
        ),
        "thresholds of health: share of 5xx responses, share of requests whose client disconnected, 99th percentile of all requests, 95th percentile of an endpoint and of a statement, lowest cache hit rate, share of a pool's connections in use for 10 s, wait for a connection, wait after which its user counts as stuck (half as long again makes the node unhealthy), and the minimum number of samples",
    ),
    setting(
        "performance.metrics_access",
        "TIDEGATE_PERFORMANCE_METRICS_ACCESS",
        Some("open"),
        "`open`: /metrics and /health need no token; `token`: they need tokens.read, and without it /health returns only its status",
    ),
    setting(
        "performance.actions",
        "TIDEGATE_PERFORMANCE_ACTIONS",
        Some("off"),
        "`on`: advice may change settings within their bounds, and revert that; `off`: advice only",
    ),
];

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
    /// Whether `/metrics` and the details of `/health` require the read token.
    pub metrics_need_token: bool,
    /// Whether advice may be carried out automatically where possible.
    pub acts: bool,
    /// Recipients of alerts.
    pub alerts: AlertSettings,
    /// Collector of traces and metrics, if any.
    pub otlp: Option<OtlpSettings>,
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

pub(crate) fn performance(raw: &Reader<'_>, tokens: &Tokens) -> Result<PerformanceSettings, SettingsError> {
    let (thresholds, slow) = (raw.options("performance.health")?, raw.options("performance.slow")?);
    let time = |name| thresholds.duration(name, MILLISECOND, LONGEST);
    let listed = |name| slow.duration(name, MILLISECOND, LONGEST);
    let health = HealthConfig {
        error_rate: thresholds.share("error_rate")?,
        aborted: thresholds.share("aborted")?,
        p99: time("p99")?,
        slow_api: time("slow_api")?,
        slow_query: thresholds.duration("slow_query", MICROSECOND, LONGEST)?,
        pool_in_use: thresholds.share("pool_in_use")?,
        pool_wait: time("pool_wait")?,
        pool_stuck: time("pool_stuck")?,
        hit_rate: thresholds.share("hit_rate")?,
        min_samples: thresholds.count("min_samples", 1..=1_000_000)?,
        ..HealthConfig::default()
    };
    let queries = QueryConfig {
        slow: health.slow_query,
        alike: slow.count("n_plus_one", 1..=100_000)?,
        ..QueryConfig::default()
    };
    let warn =
        [(Kind::Database, "database"), (Kind::Api, "api"), (Kind::Cache, "cache"), (Kind::Rendering, "rendering")];
    Ok(PerformanceSettings {
        slow_api_log: listed("request")?,
        warn: warn.into_iter().map(|(kind, name)| Ok((kind, listed(name)?))).collect::<Result<_, SettingsError>>()?,
        health,
        queries,
        metrics_need_token: metrics_need_token(raw, tokens)?,
        acts: raw.switch("performance.actions")?,
        alerts: alerts(raw)?,
        otlp: otlp(raw)?,
    })
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

#[cfg(test)]
mod tests {
    use super::*;
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
        let set = |text: &str| check_with(&[("TIDEGATE_PERFORMANCE_HEALTH", text)]);
        for (option, values) in [
            ("error_rate", ["0.000001", "0.999999"]),
            ("hit_rate", ["0.01", "0.99"]),
            ("aborted", ["0.01", "0.99"]),
            ("p99", ["1ms", "137s"]),
            ("slow_query", ["1ms", "137s"]),
            ("pool_wait", ["1ms", "137s"]),
            ("pool_stuck", ["1ms", "137s"]),
        ] {
            for value in values {
                let performance = set(&format!("{option}={value}")).unwrap().performance;
                assert_eq!(performance.health.check(), Ok(()), "{option}={value}");
            }
        }
        for value in ["0", "1", "NaN", "-0.1", "inf"] {
            let error = set(&format!("error_rate={value}")).unwrap_err().to_string();
            assert!(error.contains("TIDEGATE_PERFORMANCE_HEALTH") && error.contains("`error_rate`"), "{error}");
        }
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
}
