//! Tenants whose rate is far above their usual one.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use tidegate_base::clock;
use tidegate_model::alert_rules::TENANT_ANOMALY;
use tidegate_perfmon::Observation;
use tidegate_ratelimit::{AnomalyDetector, Clock, Flag, Timestamp};
use tidegate_telemetry::AlertDispatcher;

/// The number of seconds for which a tenant without a flag is reported as normal, so that its alert
/// is resolved.
const REPORTED_AFTER: u32 = 120;

/// Counts the requests of each tenant in this process, and flags the tenants whose rate leaves
/// their own history.
pub struct Anomalies {
    /// `None` if the settings turn it off.
    detector: Option<AnomalyDetector>,
    interval: Duration,
    /// The same moment by the calendar and by the clock of the detector.
    started: (DateTime<Utc>, Timestamp),
}

impl Anomalies {
    pub(super) fn new(interval: Duration, clock: impl Into<Clock>) -> Self {
        let clock: Clock = clock.into();
        let started = (clock::now(), Timestamp::now(&clock));
        let detector =
            (!interval.is_zero()).then(|| AnomalyDetector::builder().interval(interval).clock(clock).build());
        Self { detector, interval, started }
    }

    pub(super) fn start(interval: Duration, alerts: &AlertDispatcher) -> Arc<Self> {
        let anomalies = Arc::new(Self::new(interval, Clock::system()));
        let (watched, reported) = (Arc::clone(&anomalies), Mutex::default());
        alerts.watch(move || watched.observations(&mut reported.lock().unwrap_or_else(PoisonError::into_inner)));
        anomalies
    }

    /// Counts one request, refused or not.
    pub fn count(&self, tenant: &str) {
        if let Some(detector) = &self.detector {
            // A tenant's id is never too long, and a full detector forgets the tenant with the
            // lowest rate.
            let _ = detector.observe(tenant, 1);
        }
    }

    fn flagged(&self) -> Vec<Flag> {
        self.detector.as_ref().map(AnomalyDetector::flagged).unwrap_or_default()
    }

    /// The flagged tenants, for people.
    pub fn json(&self) -> Value {
        let (date, time) = self.started;
        let item = |flag: Flag| {
            json!({
                "tenant_id": flag.key,
                "since": date + flag.since.saturating_since(time),
                "requests": flag.count,
                "usual": flag.mean,
                "interval_seconds": self.interval.as_secs_f64(),
            })
        };
        self.flagged().into_iter().map(item).collect()
    }

    /// One observation for each flagged tenant, and for those that were flagged lately. `reported`
    /// holds for each of these the number of seconds since its flag fell.
    fn observations(&self, reported: &mut BTreeMap<String, u32>) -> Vec<Observation<'static>> {
        reported.retain(|_, seconds| {
            *seconds += 1;
            *seconds <= REPORTED_AFTER
        });
        let mut observations = Vec::new();
        for Flag { key, count, mean, .. } in self.flagged() {
            let seconds = self.interval.as_secs_f64();
            let detail = format!("tenant `{key}` sent {count} requests in {seconds} s; {mean:.1} is usual");
            #[expect(clippy::cast_precision_loss, reason = "a rate needs no more than 53 bits")]
            let observation = Observation::new(TENANT_ANOMALY, Some(true), count as f64, mean);
            observations.push(observation.subject(key.clone()).detail(detail));
            reported.insert(key, 0);
        }
        for (tenant, _) in reported.iter().filter(|(_, seconds)| **seconds > 0) {
            observations.push(Observation::new(TENANT_ANOMALY, Some(false), 0.0, 0.0).subject(tenant.clone()));
        }
        observations
    }
}

#[cfg(test)]
mod tests {
    use tidegate_ratelimit::ManualClock;

    use super::*;

    const INTERVAL: Duration = Duration::from_secs(10);

    #[test]
    fn a_tenfold_burst_is_observed_until_it_has_passed() {
        let clock = ManualClock::default();
        let (anomalies, mut reported) = (Anomalies::new(INTERVAL, clock.clone()), BTreeMap::new());
        let count = |tenant: &str, requests: usize| (0..requests).for_each(|_| anomalies.count(tenant));
        for _ in 0..40 {
            count("acme", 20);
            count("calm", 20);
            clock.advance(INTERVAL);
            assert_eq!(anomalies.observations(&mut reported), []);
        }
        count("acme", 200);
        count("calm", 20);
        let observations = anomalies.observations(&mut reported);
        let [Observation { subject, breached, value, .. }] = &observations[..] else { panic!("{observations:?}") };
        assert_eq!((&**subject, *breached, *value > 90.0), ("acme", Some(true), true));
        assert_eq!(anomalies.json()[0]["tenant_id"], "acme");
        for _ in 0..8 {
            clock.advance(INTERVAL);
            count("acme", 20);
        }
        let observations = anomalies.observations(&mut reported);
        let [Observation { subject, breached, .. }] = &observations[..] else { panic!("{observations:?}") };
        assert_eq!((&**subject, *breached), ("acme", Some(false)), "the alert is resolved");
        for _ in 0..REPORTED_AFTER {
            anomalies.observations(&mut reported);
        }
        assert_eq!(reported, BTreeMap::new());
    }

    #[test]
    fn nothing_is_counted_where_it_is_off() {
        let anomalies = Anomalies::new(Duration::ZERO, Clock::system());
        anomalies.count("acme");
        assert_eq!(anomalies.json(), json!([]));
    }
}
