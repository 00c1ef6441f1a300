//! Calls of the other service: behind a quota, a time-out, retries and a breaker.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::http::{StatusCode, Uri};
use hyper_util::client::legacy::{Client, connect::HttpConnector};
use hyper_util::rt::TokioExecutor;
use serde::{Deserialize, Serialize};
use tidegate_ratelimit::{Limiter, Quota, QuotaError, SlidingWindow};
use tidegate_resilience::{
    Backoff, CircuitBreaker, ConfigError, Error, Resilience, Retry, RetryBudget, Timeout, Verdict,
};

const CALL_TIMEOUT: Duration = Duration::from_secs(1);
/// Calls that the service allows in each second.
const CALLS: u64 = 50;
const PERIOD: Duration = Duration::from_secs(1);
/// Failures in a row that open the breaker, and the time after which it lets a call through.
const FAILURES: u32 = 5;
const OPEN_FOR: Duration = Duration::from_secs(1);
/// Highest rate that is believed, in millionths. 0 is not believed either.
const MAX_RATE: u64 = 1_000_000_000_000;
/// Length of the longest answer.
const MAX_BYTES: usize = 10_000;

#[derive(Serialize, Deserialize)]
pub(crate) struct Rate {
    pub(crate) millionths: u64,
    /// When the call began, in milliseconds since 1970: the rate is not older than that.
    pub(crate) fetched_at_ms: u64,
}

/// Answer of the service.
#[derive(Deserialize)]
struct NewRate {
    rate_millionths: u64,
}

type Classifier = fn(Result<&Rate, &Failure>) -> Verdict;

#[derive(Clone)]
pub(crate) struct Service {
    address: String,
    quota: Arc<dyn Limiter>,
    policies: Resilience<Classifier>,
    pub(crate) breaker: CircuitBreaker,
    http: Client<HttpConnector, Body>,
}

/// The quota by which calls are counted. A call that is charged now arrives up to a time-out later,
/// so the window is longer than the period by that. It then covers whatever arrives in one period.
pub(crate) fn quota() -> Result<SlidingWindow, QuotaError> {
    Ok(SlidingWindow::new(Quota::new(CALLS, PERIOD + CALL_TIMEOUT)?))
}

impl Service {
    pub(crate) fn new(address: &Uri, quota: Arc<dyn Limiter>) -> Result<Self, ConfigError> {
        let breaker = CircuitBreaker::builder("upstream").consecutive_failures(FAILURES).open_for(OPEN_FOR).build()?;
        let backoff = Backoff::exponential(Duration::from_millis(50), Duration::from_secs(1));
        // One retry for five calls, and five a second.
        let budget = RetryBudget::new(20, 5);
        let retry = Retry::builder("upstream").max_attempts(3).backoff(backoff).budget(budget).build()?;
        let policies = Resilience::new()
            .retry(retry)
            .breaker(breaker.clone())
            .timeout(Timeout::new("upstream", CALL_TIMEOUT))
            .classify(Failure::verdict as Classifier);
        let http = Client::builder(TokioExecutor::new()).build_http();
        Ok(Self { address: address.to_string().trim_end_matches('/').to_owned(), quota, policies, breaker, http })
    }

    pub(crate) async fn rate(&self, from: &str, to: &str) -> Result<Rate, Error<Failure>> {
        let uri = format!("{}/upstream/rates/{from}/{to}", self.address);
        self.policies.call(|| self.call(&uri)).await
    }

    /// Makes one call, if the quota allows it.
    async fn call(&self, uri: &str) -> Result<Rate, Failure> {
        let fetched_at_ms = crate::now_ms();
        // A quota error says nothing about the service: it is not retried, and the breaker
        // ignores it.
        let ignored = |reason| Failure { verdict: Verdict::Ignored, reason };
        let decision = self.quota.check("calls", 1).await;
        let decision = decision.map_err(|error| ignored(format!("the quota can't be counted: {error}")))?;
        if let Some(wait) = decision.retry_after() {
            return Err(ignored(format!("the quota of the service is used up for another {wait:?}")));
        }
        let response = self.http.get(uri.parse()?).await?;
        let status = response.status();
        if !status.is_success() {
            let is_busy = matches!(status, StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS);
            let is_transient = is_busy || status.is_server_error();
            let verdict = if is_transient { Verdict::Transient } else { Verdict::Permanent };
            return Err(Failure { verdict, reason: format!("the service answered {status}") });
        }
        let bytes = to_bytes(Body::new(response.into_body()), MAX_BYTES).await?;
        let NewRate { rate_millionths: millionths } = serde_json::from_slice(&bytes)?;
        if !(1..=MAX_RATE).contains(&millionths) {
            let reason = format!("the service answered a rate of {millionths} millionths");
            return Err(Failure { verdict: Verdict::Transient, reason });
        }
        Ok(Rate { millionths, fetched_at_ms })
    }
}

/// Why a call has brought no rate, and what that means for retries and the breaker.
pub(crate) struct Failure {
    verdict: Verdict,
    reason: String,
}

impl Failure {
    fn verdict(result: Result<&Rate, &Self>) -> Verdict {
        result.map_or_else(|failure| failure.verdict, |_| Verdict::Success)
    }
}

/// No answer, or one that can't be read.
impl<E: std::error::Error> From<E> for Failure {
    fn from(error: E) -> Self {
        Self { verdict: Verdict::Transient, reason: format!("the service can't be called: {error}") }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)
    }
}
