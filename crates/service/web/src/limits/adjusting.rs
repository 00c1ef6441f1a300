//! The quota of `api`, which advice may lower, and which then recovers by itself.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use tidegate_node::node::Node;
use tidegate_perfmon::action::{Actuator, Refused};
use tidegate_ratelimit::{Adjustment, DynamicQuota, Limiter};

const LEAST: f64 = 0.5;
/// The health score from which on the quota rises, and the time between two steps. A change from
/// advice is judged after five minutes, before the first step.
const WELL: f64 = 0.8;
const RISES_AFTER: Duration = Duration::from_mins(15);

/// A limiter whose quota advice may lower.
pub(super) type Adjustable = DynamicQuota<dyn Limiter>;

pub(super) fn adjustable(limiter: Arc<dyn Limiter>) -> Arc<Adjustable> {
    // No score is below zero, so health alone never lowers the quota: only advice does, if the
    // settings let it.
    let rises = Adjustment::default().thresholds(0.0, WELL).bounds(LEAST, 1.0).after(RISES_AFTER, RISES_AFTER);
    Arc::new(DynamicQuota::new(limiter, rises))
}

/// Lets the node's advice set the quota, and its health restore it.
pub(super) fn follow(quota: &Arc<Adjustable>, node: &Node) {
    node.outlook.add_actuator(Arc::new(QuotaActuator::new(Arc::clone(quota))));
    let quota = Arc::clone(quota);
    node.telemetry.sources().every_second(move |tick| {
        let score = tick.health.score.map_or(f64::NAN, |score| f64::from(score) / 100.0);
        // A quota that the limiter can't apply stays as it is until the next second.
        let _ = quota.observe(score);
    });
}

/// The requests that a limiter admits for a key in each period.
struct QuotaActuator {
    name: String,
    quota: Arc<Adjustable>,
}

impl QuotaActuator {
    fn new(quota: Arc<Adjustable>) -> Self {
        Self { name: format!("limit:{}", quota.name()), quota }
    }

    #[expect(clippy::cast_precision_loss, reason = "limits are below 2⁵³")]
    fn base(&self) -> f64 {
        self.quota.base().limit() as f64
    }
}

impl Actuator for QuotaActuator {
    fn name(&self) -> &str {
        &self.name
    }

    fn now(&self) -> f64 {
        (self.base() * self.quota.share()).floor()
    }

    fn bounds(&self) -> RangeInclusive<f64> {
        (self.base() * LEAST).ceil()..=self.base()
    }

    fn grain(&self) -> f64 {
        1.0
    }

    fn set(&self, to: f64) -> Result<(), Refused> {
        self.quota.set_share(to / self.base()).map(drop).map_err(|error| Refused::new(&error.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use tidegate_perfmon::action::{Actions, Outcome, Settings};
    use tidegate_perfmon::advice::{ApiSignals, LimiterSignals, Limits, Signals, advise};
    use tidegate_ratelimit::{ManualClock, MemoryLimiter, Quota, SlidingWindow};

    use super::*;

    fn api() -> Arc<dyn Limiter> {
        Arc::new(MemoryLimiter::builder("api", SlidingWindow::new(Quota::per_minute(100).unwrap())).build())
    }

    /// Figures of one minute of the API. If it is saturated, it is slow while many requests are in
    /// flight.
    fn minute(minute: u64, is_saturated: bool) -> Signals {
        let mut signals = Signals::new(minute);
        let (p99, in_flight) = if is_saturated { (0.4, 40.0) } else { (0.1, 4.0) };
        signals.api =
            Some(ApiSignals { requests: 1_000, p99: Some(p99), in_flight: Some(in_flight), ..ApiSignals::default() });
        let limiter = |name: &str, is_fixed| LimiterSignals { allowed: 1_000, is_fixed, ..LimiterSignals::new(name) };
        signals.limiters = vec![limiter("ddos", true), limiter("api", false)];
        signals
    }

    #[test]
    fn advice_lowers_the_quota_where_changes_are_allowed() {
        for (enabled, expected) in [(false, 100), (true, 90)] {
            let limiter = api();
            let quota = adjustable(Arc::clone(&limiter));
            let mut settings = Settings::default();
            settings.enabled = enabled;
            let mut actions = Actions::new(settings, vec![Arc::new(QuotaActuator::new(quota))]);
            let minutes: Vec<_> = (0..35).map(|number| minute(number, number >= 30)).collect();
            let advice = advise(&Limits::default(), &minutes);
            assert!(advice.iter().any(|advice| advice.id == "saturation"), "{advice:?}");
            let done = actions.consider(&minutes, &advice);
            assert_eq!(limiter.quota().limit(), expected, "{done:?}");
            assert_eq!(done.iter().filter(|entry| entry.outcome == Outcome::OnTrial).count(), usize::from(enabled));
            if enabled {
                actions.revert(done[0].id).unwrap();
                assert_eq!(limiter.quota().limit(), 100);
            }
        }
    }

    #[test]
    fn it_stays_within_bounds_and_rises_while_the_node_is_well() {
        let (limiter, clock) = (api(), ManualClock::default());
        let rises = Adjustment::default().thresholds(0.0, WELL).bounds(LEAST, 1.0).after(RISES_AFTER, RISES_AFTER);
        let quota = Arc::new(DynamicQuota::new(Arc::clone(&limiter), rises).clock(clock.clone()));
        let actuator = QuotaActuator::new(Arc::clone(&quota));
        assert_eq!((actuator.name(), actuator.now(), actuator.bounds()), ("limit:api", 100.0, 50.0..=100.0));
        actuator.set(1.0).unwrap();
        assert_eq!((actuator.now(), limiter.quota().limit()), (50.0, 50));
        // An operator's quota is the base, of which the part applies.
        quota.set_quota(Quota::per_minute(200).unwrap()).unwrap();
        assert_eq!((actuator.now(), limiter.quota().limit(), quota.base().limit()), (100.0, 100, 200));
        for score in [0.0, 0.5, f64::NAN] {
            clock.advance(2 * RISES_AFTER);
            quota.observe(score).unwrap();
            assert_eq!(limiter.quota().limit(), 100, "{score}");
        }
        let mut steps = 0;
        while limiter.quota().limit() < 200 {
            quota.observe(1.0).unwrap();
            clock.advance(RISES_AFTER);
            steps += 1;
            assert!(steps < 20, "{}", limiter.quota().limit());
        }
    }
}
