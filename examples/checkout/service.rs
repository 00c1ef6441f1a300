//! A bulkhead, a breaker and a time-out around one service, and what a service refuses.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::Json;
use axum::body::to_bytes;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use tidegate_resilience::{
    Bulkhead, CircuitBreaker, ConfigError, Error, Event, Observer, Resilience, State, Timeout, Verdict,
};
use tidegate_sync::{LedgerError, StockError};

/// Most calls that run at once, and most that wait for them.
const MAX_RUNNING: usize = 32;
const MAX_WAITING: usize = 1_000;
/// Longest wait of a call, and longest call.
const MAX_WAIT: Duration = Duration::from_secs(1);
const TIMEOUT: Duration = Duration::from_secs(2);
/// Time after which an open breaker admits a call to see whether the service is back.
const OPEN_FOR: Duration = Duration::from_secs(1);

/// Keeps the calls of one service apart from those of the others.
pub(crate) struct Service {
    bulkhead: Bulkhead,
    breaker: CircuitBreaker,
    policies: Resilience,
    trips: Arc<Trips>,
    /// Milliseconds that each call takes longer.
    delay: AtomicU64,
}

/// How often a breaker has opened.
#[derive(Default)]
struct Trips(AtomicU64);

impl Observer for Trips {
    fn on(&self, event: &Event<'_>) {
        if let Event::BreakerChanged { to: State::Open, .. } = event {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Service {
    pub(crate) fn new(name: &'static str) -> Result<Self, ConfigError> {
        let trips = Arc::<Trips>::default();
        let breaker = CircuitBreaker::builder(name).open_for(OPEN_FOR).observer(trips.clone()).build()?;
        let bulkhead = Bulkhead::builder(name, MAX_RUNNING).max_waiting(MAX_WAITING).max_wait(MAX_WAIT).build()?;
        let policies = Resilience::new().bulkhead(bulkhead.clone()).breaker(breaker.clone());
        let policies = policies.timeout(Timeout::new(name, TIMEOUT));
        Ok(Self { bulkhead, breaker, policies, trips, delay: AtomicU64::new(0) })
    }

    /// Calls the service. An operation that is cut off by the time-out may have taken effect.
    pub(crate) async fn call<T, F>(&self, operation: impl Fn() -> F) -> Result<T, Refused>
    where
        F: Future<Output = Result<T, Refused>>,
    {
        let delay = Duration::from_millis(self.delay.load(Ordering::Relaxed));
        let delayed = || async {
            if !delay.is_zero() {
                tokio::time::sleep(delay).await;
            }
            operation().await
        };
        self.policies.clone().classify(verdict).call(delayed).await.map_err(|error| match error {
            Error::Inner(refused) => refused,
            policy => Refused(StatusCode::SERVICE_UNAVAILABLE, policy.to_string()),
        })
    }

    pub(crate) fn slow_down(&self, millis: u64) {
        self.delay.store(millis, Ordering::Relaxed);
    }

    pub(crate) fn health(&self) -> Value {
        let state = match self.breaker.state() {
            State::Closed => "closed",
            State::HalfOpen => "half-open",
            _ => "open",
        };
        let (running, waiting) = (self.bulkhead.running(), self.bulkhead.waiting());
        let trips = self.trips.0.load(Ordering::Relaxed);
        json!({ "breaker": state, "trips": trips, "running": running, "waiting": waiting })
    }
}

/// A refusal is the answer of a service that works.
fn verdict<T>(result: Result<&T, &Refused>) -> Verdict {
    if matches!(result, Err(Refused(StatusCode::SERVICE_UNAVAILABLE, _))) {
        Verdict::Transient
    } else {
        Verdict::Success
    }
}

/// An answer of 4xx or 503, with the reason.
pub(crate) struct Refused(pub(crate) StatusCode, pub(crate) String);

/// A refusal of a service. After any other error, the same request may succeed later.
impl<E: std::error::Error + 'static> From<E> for Refused {
    fn from(error: E) -> Self {
        let any = &error as &(dyn std::error::Error + 'static);
        let status = match (any.downcast_ref(), any.downcast_ref()) {
            (Some(LedgerError::Unknown { .. }), _) => StatusCode::NOT_FOUND,
            (Some(LedgerError::Overdrawn { .. }), _) => StatusCode::CONFLICT,
            (Some(LedgerError::Reused { .. } | LedgerError::Quantity(_)), _) => StatusCode::UNPROCESSABLE_ENTITY,
            (_, Some(StockError::Expired { .. } | StockError::Released { .. } | StockError::NoReservation { .. })) => {
                StatusCode::CONFLICT
            }
            (_, Some(StockError::Reused { .. } | StockError::Quantity(_))) => StatusCode::UNPROCESSABLE_ENTITY,
            _ => StatusCode::SERVICE_UNAVAILABLE,
        };
        Self(status, error.to_string())
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.1)
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        (self.0, Json(json!({ "error": self.1 }))).into_response()
    }
}

/// Axum refuses in plain text what it can't read. This gives its reason the form of all others.
pub(crate) async fn refuse_in_json(response: Response) -> Response {
    if response.headers().get(CONTENT_TYPE).is_none_or(|it| !it.as_bytes().starts_with(b"text/plain")) {
        return response;
    }
    let (status, reason) = (response.status(), to_bytes(response.into_body(), usize::MAX).await);
    Refused(status, String::from_utf8_lossy(&reason.unwrap_or_default()).into_owned()).into_response()
}
