//! The answer to a request that a limiter refuses, or about which it cannot decide.

use std::time::Duration;

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use tidegate_base::LogThrottle;
use tidegate_ratelimit::{CheckError, Decision, Rejection, headers};

use crate::peer::NoPeer;
use crate::problem::Problem;

/// The answer to a request that a limiter refuses, with its headers.
pub(super) fn refused(limiter: &str, decision: &Decision) -> Problem {
    let wait = headers::whole_seconds(decision.retry_after().unwrap_or_default());
    refusal(limiter, wait).headers(|response| headers::apply(response, limiter, decision))
}

pub(super) fn refusal(limiter: &str, wait: u64) -> Problem {
    let detail = format!("the limit `{limiter}` is used up; try again in {wait} s");
    Problem::new(StatusCode::TOO_MANY_REQUESTS, "rate-limited", detail).with("limiter", limiter)
}

/// One line a second.
static FULL: LogThrottle = LogThrottle::new(Duration::from_secs(1));

/// Returns the response if a limiter cannot decide.
pub fn undecided(error: &CheckError) -> Problem {
    match error {
        CheckError::Full { .. } => {
            // A client that fills the limiter must not fill the log too.
            if let Some(unlogged) = FULL.count() {
                tracing::warn!(%error, unlogged, "a limiter is full of blocked keys");
            }
            Problem::unavailable("overloaded", "too many clients are blocked; try again later")
        }
        CheckError::Store(error) if error.is_transient() => {
            Problem::unavailable("unavailable", "the request can't be counted now")
        }
        other => Problem::internal(other),
    }
}

/// The answer to a request that the limiter in front refuses; the layer adds the headers.
pub fn refuse(rejection: Rejection<'_>) -> Response {
    let problem = match rejection {
        Rejection::Denied { limiter, denial } => refusal(limiter, headers::whole_seconds(denial.retry_after)),
        Rejection::Failed { error, .. } => undecided(error),
        Rejection::BadKey { reason } => Problem::bad_request("bad-identity", reason),
        Rejection::NoKey { .. } => Problem::internal(&NoPeer),
        _ => Problem::unavailable("overloaded", "the request can't be counted now"),
    };
    problem.into_response()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    use axum::http::header;
    use tokio::time::Instant;
    use tracing::{Event, Metadata, Subscriber, span};

    use super::*;

    #[test]
    fn a_client_that_cannot_be_counted_gets_a_retry_time() {
        let away = tidegate_ratelimit::StoreError::new("away").transient();
        for error in [CheckError::Full { max_keys: 1 }, CheckError::Store(away)] {
            let response = refuse(Rejection::Failed { limiter: "auth", error: &error });
            assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE, "{error}");
            assert!(response.headers().contains_key(header::RETRY_AFTER), "{error}");
        }
    }

    /// Counts the lines of a log.
    struct Lines(Arc<AtomicU64>);

    impl Subscriber for Lines {
        fn enabled(&self, _: &Metadata<'_>) -> bool {
            true
        }

        fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
            span::Id::from_u64(1)
        }

        fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

        fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

        fn event(&self, _: &Event<'_>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }

        fn enter(&self, _: &span::Id) {}

        fn exit(&self, _: &span::Id) {}
    }

    #[test]
    fn a_full_limiter_writes_no_more_than_a_line_a_second() {
        let lines = Arc::new(AtomicU64::new(0));
        let begun = Instant::now();
        tracing::subscriber::with_default(Lines(Arc::clone(&lines)), || {
            for _ in 0..10_000 {
                undecided(&CheckError::Full { max_keys: 1 });
            }
        });
        let lines = lines.load(Ordering::Relaxed);
        assert!((1..=1 + begun.elapsed().as_secs()).contains(&lines), "{lines}");
    }
}
