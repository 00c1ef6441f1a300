//! Retries.

mod backoff;
mod budget;

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

pub use backoff::Backoff;
pub use budget::RetryBudget;

use crate::classify::{Classify, EveryError, Verdict};
use crate::error::ConfigError;
use crate::observer::{Emitter, Event, GaveUp, Observer};

/// Repeats a call that failed, after a [`Backoff`] and within a [`RetryBudget`].
///
/// The result of the last attempt is the result of the call. A result is retried if its [`Verdict`]
/// is `Transient` or `TransientAfter`. After `TransientAfter` the delay is the pause that the
/// dependency asked for plus that of the backoff, so that clients with the same hint don't return
/// at the same moment.
///
/// A repeated operation may take effect twice: retry idempotent operations only. Clones share the
/// budget.
///
/// ```
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use tidegate_resilience::Retry;
///
/// let retry = Retry::builder("payments").max_attempts(3).build()?;
/// let mut attempts = 0;
/// let result = retry.call(|| {
///     attempts += 1;
///     async move { if attempts < 3 { Err("connection refused") } else { Ok("paid") } }
/// });
/// assert_eq!(result.await, Ok("paid"));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Retry<C = EveryError> {
    settings: Arc<RetryBuilder>,
    classifier: C,
}

/// Settings of a [`Retry`].
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until `build`"]
pub struct RetryBuilder {
    name: Arc<str>,
    max_attempts: u32,
    max_elapsed: Duration,
    backoff: Backoff,
    budget: Option<RetryBudget>,
    emitter: Emitter,
}

impl RetryBuilder {
    /// Sets the maximum number of attempts, the first included. 3 by default.
    pub fn max_attempts(mut self, attempts: u32) -> Self {
        self.max_attempts = attempts;
        self
    }

    /// Sets the maximum total time: no attempt starts later than this after the first one. If the
    /// delay is longer than what is left, the call ends at once. 30 seconds by default.
    ///
    /// A [`Timeout`](crate::Timeout) inside bounds each attempt, one outside bounds the whole call.
    pub fn max_elapsed(mut self, time: Duration) -> Self {
        self.max_elapsed = time;
        self
    }

    /// Sets the delays. 100 ms doubling to at most 10 s by default, with full jitter.
    pub fn backoff(mut self, backoff: Backoff) -> Self {
        self.backoff = backoff;
        self
    }

    /// Sets the budget. Several policies share it if they get clones of it. By default each policy
    /// has its own: 20 percent of its calls and 10 retries a second.
    pub fn budget(mut self, budget: RetryBudget) -> Self {
        self.budget = Some(budget);
        self
    }

    /// Removes the budget: in an outage every call makes its maximum number of attempts.
    pub fn without_budget(mut self) -> Self {
        self.budget = None;
        self
    }

    /// Sets the observer.
    pub fn observer(mut self, observer: Arc<dyn Observer>) -> Self {
        self.emitter = Emitter::new(observer);
        self
    }

    /// Creates the policy.
    ///
    /// # Errors
    /// [`ConfigError`] if `max_attempts` is 0.
    pub fn build(self) -> Result<Retry, ConfigError> {
        if self.max_attempts == 0 {
            return Err(ConfigError::new(&self.name, "max_attempts", "must be at least 1"));
        }
        Ok(Retry { settings: Arc::new(self), classifier: EveryError })
    }
}

impl Retry {
    /// Starts a policy with 3 attempts.
    pub fn builder(name: impl Into<Arc<str>>) -> RetryBuilder {
        RetryBuilder {
            name: name.into(),
            max_attempts: 3,
            max_elapsed: Duration::from_secs(30),
            backoff: Backoff::exponential(Duration::from_millis(100), Duration::from_secs(10)),
            budget: Some(RetryBudget::new(20, 10)),
            emitter: Emitter::default(),
        }
    }
}

impl<C> Retry<C> {
    /// Returns the same policy with another classifier. Both share the budget.
    #[must_use]
    pub fn classify<T, E, F>(&self, classifier: F) -> Retry<F>
    where
        F: Fn(Result<&T, &E>) -> Verdict,
    {
        Retry { settings: Arc::clone(&self.settings), classifier }
    }

    /// Runs the operation until it succeeds or a limit is reached.
    ///
    /// # Errors
    /// The error of the last attempt.
    pub async fn call<T, E, F, Fut>(&self, mut operation: F) -> Result<T, E>
    where
        F: FnMut() -> Fut,
        Fut: Future<Output = Result<T, E>>,
        C: Classify<T, E>,
    {
        let mut attempts = self.start();
        loop {
            let result = operation().await;
            let Some(delay) = attempts.next(self.classifier.classify(result.as_ref())) else { return result };
            drop(result);
            tokio::time::sleep(delay).await;
        }
    }

    /// Begins one call.
    pub(crate) fn start(&self) -> Attempts<'_> {
        let settings = &*self.settings;
        if let Some(budget) = &settings.budget {
            budget.deposit();
        }
        Attempts { settings, made: 0, started: Instant::now() }
    }
}

/// Attempts of one call.
pub(crate) struct Attempts<'a> {
    settings: &'a RetryBuilder,
    made: u32,
    started: Instant,
}

impl Attempts<'_> {
    /// Counts an attempt. Returns the delay before the next one, if there is to be one.
    pub(crate) fn next(&mut self, verdict: Verdict) -> Option<Duration> {
        self.made += 1;
        let pause = match verdict {
            Verdict::Transient => Duration::ZERO,
            Verdict::TransientAfter(pause) => pause,
            Verdict::Success | Verdict::Permanent | Verdict::Ignored => return None,
        };
        let RetryBuilder { name, max_attempts, max_elapsed, backoff, budget, emitter } = self.settings;
        let delay = pause.saturating_add(backoff.delay(self.made, rand::random()));
        let reason = if self.made >= *max_attempts {
            GaveUp::Attempts
        } else if self.started.elapsed().saturating_add(delay) > *max_elapsed {
            GaveUp::MaxElapsed
        } else if budget.as_ref().is_none_or(RetryBudget::withdraw) {
            emitter.emit(&Event::Retrying { name, attempt: self.made, delay });
            return Some(delay);
        } else {
            GaveUp::Budget
        };
        emitter.emit(&Event::GaveUp { name, attempts: self.made, reason });
        None
    }
}
