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
        "performance.slow_api_log",
        "TIDEGATE_PERFORMANCE_SLOW_API_LOG",
        Some("500ms"),
        "requests that take longer are logged and listed",
    ),
    setting(
        "performance.warn_database",
        "TIDEGATE_PERFORMANCE_WARN_DATABASE",
        Some("100ms"),
        "database operations that take longer are listed",
    ),
    setting(
        "performance.warn_api",
        "TIDEGATE_PERFORMANCE_WARN_API",
        Some("200ms"),
        "measured API operations that take longer are listed",
    ),
    setting(
        "performance.warn_cache",
        "TIDEGATE_PERFORMANCE_WARN_CACHE",
        Some("10ms"),
        "cache operations that take longer are listed",
    ),
    setting(
        "performance.warn_rendering",
        "TIDEGATE_PERFORMANCE_WARN_RENDERING",
        Some("50ms"),
        "renderings that take longer are listed",
    ),
    setting(
        "performance.slow_query",
        "TIDEGATE_PERFORMANCE_SLOW_QUERY",
        Some("1s"),
        "95th percentile of a statement above which health degrades; slower ones are listed",
    ),
    setting(
        "performance.slow_api",
        "TIDEGATE_PERFORMANCE_SLOW_API",
        Some("2s"),
        "95th percentile of an endpoint above which health degrades",
    ),
    setting(
        "performance.p99",
        "TIDEGATE_PERFORMANCE_P99",
        Some("5s"),
        "99th percentile of all requests above which health degrades",
    ),
    setting(
        "performance.error_rate",
        "TIDEGATE_PERFORMANCE_ERROR_RATE",
        Some("0.05"),
        "share of 5xx responses above which health degrades",
    ),
    setting(
        "performance.aborted",
        "TIDEGATE_PERFORMANCE_ABORTED",
        Some("0.2"),
        "share of requests whose client disconnected before the response, above which health degrades",
    ),
    setting(
        "performance.min_samples",
        "TIDEGATE_PERFORMANCE_MIN_SAMPLES",
        Some("20"),
        "minimum number of samples for a judgement",
    ),
    setting(
        "performance.hit_rate",
        "TIDEGATE_PERFORMANCE_HIT_RATE",
        Some("0.8"),
        "cache hit rate below which health degrades",
    ),
    setting(
        "performance.pool_in_use",
        "TIDEGATE_PERFORMANCE_POOL_IN_USE",
        Some("0.8"),
        "share of a pool's connections in use for 10 s above which health degrades; pools of one connection are ignored",
    ),
    setting(
        "performance.pool_wait",
        "TIDEGATE_PERFORMANCE_POOL_WAIT",
        Some("1s"),
        "wait for a database connection above which health degrades",
    ),
    setting(
        "performance.pool_stuck",
        "TIDEGATE_PERFORMANCE_POOL_STUCK",
        Some("5s"),
        "wait for a database connection above which its current user counts as stuck; half as long again makes the node unhealthy",
    ),
    setting(
        "performance.endpoints",
        "TIDEGATE_PERFORMANCE_ENDPOINTS",
        Some("512"),
        "maximum number of endpoints with their own figures; the rest share one",
    ),
    setting(
        "performance.fingerprints",
        "TIDEGATE_PERFORMANCE_FINGERPRINTS",
        Some("1000"),
        "maximum number of statement fingerprints that are kept",
    ),
    setting(
        "performance.n_plus_one",
        "TIDEGATE_PERFORMANCE_N_PLUS_ONE",
        Some("5"),
        "number of similar statements in one request above which they are reported",
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
