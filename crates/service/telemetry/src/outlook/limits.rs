//! Limits of metrics, and when they will be reached.

use serde::Serialize;
use tidegate_perfmon::outlook::{Outlook, Reach};
use tidegate_settings::PerformanceSettings;

use crate::process::{DESCRIPTORS, ProcessReading};

/// Share of the process's memory limit that counts as the limit: at the full limit the system kills
/// the process.
const MEMORY: f64 = 0.9;

/// The limits of the health report.
#[derive(Debug, Clone, Copy)]
pub(super) struct HealthLimits {
    p99_ms: f64,
    error_rate: f64,
    hit_rate: f64,
}

/// The limit of a metric.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Limit {
    pub(super) value: f64,
    /// Whether the metric should stay above it.
    is_floor: bool,
}

/// Number of minutes until a metric reaches its limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(super) struct InMinutes {
    #[serde(rename = "expected_minutes")]
    pub(super) expected: usize,
    #[serde(rename = "earliest_minutes")]
    earliest: usize,
    /// `None` if the whole interval does not cross the limit within the forecast.
    #[serde(rename = "latest_minutes")]
    pub(super) latest: Option<usize>,
}

impl From<Reach> for InMinutes {
    fn from(reach: Reach) -> Self {
        Self { expected: reach.expected, earliest: reach.earliest, latest: reach.latest }
    }
}

impl HealthLimits {
    pub(super) fn new(settings: &PerformanceSettings) -> Self {
        let health = &settings.health;
        Self { p99_ms: health.p99.as_secs_f64() * 1_000.0, error_rate: health.error_rate, hit_rate: health.hit_rate }
    }

    /// Returns the limit of the metric with that name. `None` if it has none.
    #[expect(clippy::cast_precision_loss, reason = "descriptors and MiB")]
    pub(super) fn of(&self, name: &str, process: Option<&ProcessReading>) -> Option<Limit> {
        let ceiling = |value| Limit { value, is_floor: false };
        match name {
            "http.p99_ms" => Some(ceiling(self.p99_ms)),
            "http.error_rate" => Some(ceiling(self.error_rate)),
            "process.open_descriptors" => Some(ceiling(process?.max_descriptors? as f64 * DESCRIPTORS)),
            "process.resident_mib" => Some(ceiling((process?.memory_limit_bytes? >> 20) as f64 * MEMORY)),
            _ if name.starts_with("cache.") => Some(Limit { value: self.hit_rate, is_floor: true }),
            _ => None,
        }
    }
}

impl Limit {
    /// Returns when the metric reaches the limit. `None` if that is not forecast, or if it is
    /// already beyond it.
    pub(super) fn reach(&self, outlook: &Outlook, name: &str, now: f64) -> Option<InMinutes> {
        let is_within = if self.is_floor { now > self.value } else { now < self.value };
        if is_within { outlook.reach(name, self.value).map(InMinutes::from) } else { None }
    }
}

#[cfg(test)]
mod tests {
    use tidegate_perfmon::outlook::Settings;
    use tidegate_settings::test_ground::check_with;

    use super::*;

    #[test]
    fn leaking_descriptors_have_a_time_of_exhaustion_and_falling_ones_do_not() {
        let judged = HealthLimits::new(&check_with(&[]).unwrap().performance);
        let process = ProcessReading { max_descriptors: Some(1_000), ..ProcessReading::take().unwrap() };
        let limit = judged.of("process.open_descriptors", Some(&process)).unwrap();
        assert_eq!(limit, Limit { value: 800.0, is_floor: false });
        let mut outlook = Outlook::new(Settings::default());
        for minute in 0..240_u32 {
            // Two in each minute, and a little noise.
            let leaking = 300.0 + 2.0 * f64::from(minute) + f64::from(minute % 3);
            outlook.push("process.open_descriptors", minute.into(), leaking, 1.0);
            outlook.push("falling", minute.into(), 2_000.0 - 5.0 * f64::from(minute) - f64::from(minute % 3), 1.0);
        }
        let reach = limit.reach(&outlook, "process.open_descriptors", 780.0).unwrap();
        assert!((5..=15).contains(&reach.expected), "{reach:?}");
        assert!(reach.earliest <= reach.expected && reach.latest.is_some_and(|latest| latest >= reach.expected));
        let told = serde_json::json!(reach);
        assert_eq!(told["expected_minutes"], reach.expected, "{told}");
        assert_eq!(limit.reach(&outlook, "falling", 805.0), None, "it is beyond the limit, and on its way back");
    }

    #[test]
    fn figures_with_a_limit_are_those_that_health_is_judged_by() {
        let settings = check_with(&[("TIDEGATE_PERFORMANCE_HEALTH", "p99=2s")]).unwrap().performance;
        let judged = HealthLimits::new(&settings);
        assert_eq!(judged.of("http.p99_ms", None).map(|limit| limit.value), Some(2_000.0));
        assert!(judged.of("cache.l1.hit_rate", None).is_some_and(|limit| limit.is_floor));
        for free in
            ["http.requests_per_minute", "process.resident_mib", "process.open_descriptors", "queue.import.wait_ms"]
        {
            assert_eq!(judged.of(free, None), None, "{free}");
        }
    }
}
