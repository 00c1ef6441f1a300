//! Logs slow calls and operations.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tidegate_base::LogThrottle;
use tidegate_perfmon::{CallOutcome, Event, OTHER, Observer, SlowCall, SlowOperation};

/// Minimum interval between log lines of one route or operation: a slow route is slow for thousands
/// of requests.
const PERIOD: Duration = Duration::from_secs(10);
/// Maximum number of names with a separate interval. The registry limits the number of endpoints
/// and operations; names beyond this number share one interval.
const MOST: usize = 1_024;

/// Logs slow calls and operations, each route and operation at most once in an interval.
#[derive(Debug, Default)]
pub struct SlowLog {
    heard: Mutex<HashMap<String, Arc<LogThrottle>>>,
    /// Slow operations, with the number of unlogged ones of the same name. They wait here, since a
    /// statement is reported while its event passes the listeners, which must not log. There are at
    /// most as many as names.
    pending: Mutex<Vec<(SlowOperation, u64)>>,
}

impl SlowLog {
    fn throttle(&self, name: String) -> Arc<LogThrottle> {
        let mut heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        let name = if heard.len() >= MOST && !heard.contains_key(&name) { OTHER.to_owned() } else { name };
        Arc::clone(heard.entry(name).or_insert_with(|| Arc::new(LogThrottle::new(PERIOD))))
    }

    fn call(&self, call: &SlowCall) {
        let SlowCall { method, route, elapsed, outcome, request_id, trace_id, .. } = call;
        let Some(unlogged) = self.throttle(format!("{method} {route}")).count() else { return };
        let outcome = match outcome {
            CallOutcome::Status(code) => code.to_string(),
            CallOutcome::Failed => "failed".to_owned(),
            CallOutcome::Aborted => "aborted".to_owned(),
        };
        // The template instead of the path, which a client may have filled with anything.
        tracing::warn!(request_id, trace_id, method, route, outcome, ?elapsed, unlogged, "slow request");
    }

    fn operation(&self, slow: &SlowOperation) {
        let Some(unlogged) = self.throttle(format!("{} {}", slow.kind, slow.operation)).count() else { return };
        self.pending.lock().unwrap_or_else(PoisonError::into_inner).push((slow.clone(), unlogged));
    }

    /// Logs the slow operations since the last call.
    pub(super) fn write(&self) {
        let pending = std::mem::take(&mut *self.pending.lock().unwrap_or_else(PoisonError::into_inner));
        for (SlowOperation { kind, operation, outcome, elapsed, threshold, .. }, unlogged) in pending {
            let outcome = outcome.name();
            tracing::warn!(%kind, operation, outcome, ?elapsed, ?threshold, unlogged, "slow operation");
        }
    }
}

impl Observer for SlowLog {
    fn on(&self, event: &Event<'_>) {
        match event {
            Event::SlowCall(call) => self.call(call),
            Event::SlowOperation(slow) => self.operation(slow),
            Event::TickPanicked => {
                tracing::error!("health was not evaluated for a second: a part of the evaluation panicked");
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn each_route_is_logged_once_a_period_and_their_number_is_bounded() {
        let log = SlowLog::default();
        assert_eq!(log.throttle("GET /a".to_owned()).count(), Some(0));
        assert_eq!(log.throttle("GET /a".to_owned()).count(), None);
        assert_eq!(log.throttle("GET /b".to_owned()).count(), Some(0), "another route is not silent for it");
        tokio::time::advance(PERIOD).await;
        assert_eq!(log.throttle("GET /a".to_owned()).count(), Some(1));
        for number in 0..10_000 {
            log.throttle(format!("GET /{number}")).count();
        }
        let heard = log.heard.lock().unwrap();
        assert!(heard.len() <= MOST + 1 && heard.contains_key(OTHER), "{}", heard.len());
    }
}
