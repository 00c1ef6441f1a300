//! The current health report. An old report counts as missing.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tidegate_perfmon::{Health, HealthReport, Registry};

/// Age above which a report counts as missing. A new one is made every second.
const HOLDS: Duration = Duration::from_secs(5);

/// The last report and its time.
pub(super) struct LatestReport {
    registry: Registry,
    began: Duration,
    report: Mutex<Option<(Duration, HealthReport)>>,
}

impl LatestReport {
    pub(super) fn new(registry: &Registry) -> Self {
        Self { registry: registry.clone(), began: registry.now(), report: Mutex::default() }
    }

    pub(super) fn set(&self, report: HealthReport) {
        *self.report() = Some((self.registry.now(), report));
    }

    /// Returns the report. `None` in the first moments, and if there was none for five seconds: an
    /// old report does not describe the current state.
    pub(super) fn fresh(&self) -> Option<HealthReport> {
        let report = self.report();
        let (at, report) = report.as_ref()?;
        is_fresh(*at, self.registry.now()).then(|| report.clone())
    }

    /// Returns status and score. `Unknown` if there is no report.
    pub(super) fn told(&self) -> (Health, Option<u8>) {
        self.fresh().map_or((Health::Unknown, None), |report| (report.status, report.score))
    }

    /// Age of the last report, even if it counts as missing. Before the first report, time since
    /// the start.
    pub(super) fn age(&self) -> Duration {
        let at = self.report().as_ref().map_or(self.began, |(at, _)| *at);
        self.registry.now().saturating_sub(at)
    }

    fn report(&self) -> MutexGuard<'_, Option<(Duration, HealthReport)>> {
        self.report.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a report of that time still describes the current state.
fn is_fresh(at: Duration, now: Duration) -> bool {
    now.saturating_sub(at) <= HOLDS
}

#[cfg(test)]
mod tests {

    use tidegate_perfmon::{HealthConfig, HealthMonitor, ManualClock, Reading};

    use super::*;

    #[test]
    fn an_old_verdict_is_none() {
        let clock = ManualClock::new();
        let registry = Registry::builder().clock(clock.clone()).build();
        let latest = LatestReport::new(&registry);
        clock.advance(Duration::from_secs(3));
        assert_eq!((latest.told(), latest.age()), ((Health::Unknown, None), Duration::from_secs(3)));
        latest.set(HealthMonitor::new(&HealthConfig::default()).evaluate([Reading::new("calm", 0.0, 1.0)]));
        for (seconds, is_known) in [(0, true), (5, true), (1, false)] {
            clock.advance(Duration::from_secs(seconds));
            let expected = if is_known { (Health::Healthy, Some(100)) } else { (Health::Unknown, None) };
            assert_eq!((latest.told(), latest.fresh().is_some()), (expected, is_known), "{:?}", latest.age());
        }
        assert_eq!(latest.age(), Duration::from_secs(6));
    }
}
