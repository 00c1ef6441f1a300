//! All policies around one call.

use std::sync::Arc;

use crate::breaker::CircuitBreaker;
use crate::bulkhead::Bulkhead;
use crate::classify::{Classify, EveryError, classify_outer};
use crate::error::Error;
use crate::retry::Retry;
use crate::timeout::Timeout;

/// Combines policies around one call, with one flat [`Error`]. Clones share all state.
///
/// The order is fixed: retry, bulkhead, breaker, time-out, operation.
///
/// - Each attempt has its own place in the bulkhead and its own time-out. A call holds no place
///   while it waits for its next attempt.
/// - A time-out counts as a failure to the breaker, and is retried.
/// - A full bulkhead and an open breaker end the call at once. They are not retried.
/// - A call that waited in the bulkhead asks the breaker after the wait.
///
/// One classifier, that of [`classify`](Self::classify), serves retry and breaker. A repeated
/// operation may take effect twice: use [`retry`](Self::retry) for idempotent operations only.
#[derive(Clone, Debug, Default)]
pub struct Resilience<C = EveryError> {
    policies: Arc<Policies>,
    classifier: C,
}

#[derive(Clone, Debug, Default)]
struct Policies {
    retry: Option<Retry>,
    bulkhead: Option<Bulkhead>,
    breaker: Option<CircuitBreaker>,
    timeout: Option<Timeout>,
}

impl Resilience {
    /// Creates a pipeline without policies.
    pub fn new() -> Self {
        Self::default()
    }
}

impl<C> Resilience<C> {
    /// Repeats failed attempts.
    #[must_use]
    pub fn retry(self, retry: Retry) -> Self {
        self.with(|policies| policies.retry = Some(retry))
    }

    /// Bounds the concurrent attempts.
    #[must_use]
    pub fn bulkhead(self, bulkhead: Bulkhead) -> Self {
        self.with(|policies| policies.bulkhead = Some(bulkhead))
    }

    /// Refuses attempts while the dependency fails.
    #[must_use]
    pub fn breaker(self, breaker: CircuitBreaker) -> Self {
        self.with(|policies| policies.breaker = Some(breaker))
    }

    /// Bounds the time of each attempt.
    #[must_use]
    pub fn timeout(self, timeout: Timeout) -> Self {
        self.with(|policies| policies.timeout = Some(timeout))
    }

    /// Returns the same policies with another classifier. They share their state with this
    /// pipeline.
    #[must_use]
    pub fn classify<T, E, F>(self, classifier: F) -> Resilience<F>
    where
        F: Fn(Result<&T, &E>) -> crate::Verdict,
    {
        Resilience { policies: self.policies, classifier }
    }

    fn with(mut self, set: impl FnOnce(&mut Policies)) -> Self {
        set(Arc::make_mut(&mut self.policies));
        self
    }

    /// Runs the operation under all policies.
    ///
    /// # Errors
    /// The [`Error`] of the policy that ended the call, or the last error of the operation.
    pub async fn call<T, E, F, Fut>(&self, mut operation: F) -> Result<T, Error<E>>
    where
        F: FnMut() -> Fut,
        Fut: Future<Output = Result<T, E>>,
        C: Classify<T, E>,
    {
        let Some(retry) = &self.policies.retry else { return self.attempt(operation).await };
        let mut attempts = retry.start();
        loop {
            let result = self.attempt(&mut operation).await;
            let Some(delay) = attempts.next(classify_outer(&self.classifier, &result)) else { return result };
            drop(result);
            tokio::time::sleep(delay).await;
        }
    }

    async fn attempt<T, E, F, Fut>(&self, operation: F) -> Result<T, Error<E>>
    where
        F: FnOnce() -> Fut,
        Fut: Future<Output = Result<T, E>>,
        C: Classify<T, E>,
    {
        let Policies { bulkhead, breaker, timeout, .. } = &*self.policies;
        let _place = match bulkhead {
            Some(bulkhead) => Some(bulkhead.place().await?),
            None => None,
        };
        let ticket = breaker.as_ref().map(CircuitBreaker::admit).transpose()?;
        let result = match timeout {
            Some(timeout) => timeout.call(operation).await,
            None => operation().await.map_err(Error::Inner),
        };
        if let Some(ticket) = ticket {
            ticket.finish(classify_outer(&self.classifier, &result));
        }
        result
    }
}
