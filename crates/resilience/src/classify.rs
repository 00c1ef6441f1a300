//! Which results are failures.

use std::time::Duration;

use crate::error::Error;

/// Meaning of one result for [`Retry`](crate::Retry) and [`CircuitBreaker`](crate::CircuitBreaker).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Verdict {
    /// The dependency works.
    Success,
    /// The dependency failed, and may work later: retried, and a failure to the breaker.
    Transient,
    /// Like [`Transient`](Self::Transient), and the dependency asked for a pause first, for example
    /// by `Retry-After`.
    TransientAfter(Duration),
    /// The dependency works and refused this call: not retried, and a success to the breaker.
    Permanent,
    /// The result says nothing about the dependency: not retried, and not counted by the breaker.
    Ignored,
}

/// Decides what a result means. Implemented by every `Fn(Result<&T, &E>) -> Verdict`.
///
/// ```
/// use tidegate_resilience::{CircuitBreaker, Verdict};
///
/// # fn main() -> Result<(), tidegate_resilience::ConfigError> {
/// // The status of an HTTP response.
/// let breaker = CircuitBreaker::builder("payments").build()?;
/// let breaker = breaker.classify(|status: Result<&u16, &&str>| match status {
///     Ok(500..) | Err(_) => Verdict::Transient,
///     Ok(_) => Verdict::Success,
/// });
/// # let _ = async { breaker.call(|| async { Ok::<u16, &str>(200) }).await };
/// # Ok(())
/// # }
/// ```
pub trait Classify<T, E> {
    /// Returns what the result means.
    fn classify(&self, result: Result<&T, &E>) -> Verdict;
}

impl<T, E, F> Classify<T, E> for F
where
    F: Fn(Result<&T, &E>) -> Verdict,
{
    fn classify(&self, result: Result<&T, &E>) -> Verdict {
        self(result)
    }
}

/// Default classifier: every `Err` is [`Verdict::Transient`], every `Ok` a success.
#[derive(Clone, Copy, Debug, Default)]
pub struct EveryError;

impl<T, E> Classify<T, E> for EveryError {
    fn classify(&self, result: Result<&T, &E>) -> Verdict {
        if result.is_ok() { Verdict::Success } else { Verdict::Transient }
    }
}

/// Classifies the result of a pipeline: the caller's classifier sees only results of the operation.
pub(crate) fn classify_outer<T, E>(classifier: &impl Classify<T, E>, result: &Result<T, Error<E>>) -> Verdict {
    match result {
        Ok(value) => classifier.classify(Ok(value)),
        Err(Error::Inner(error)) => classifier.classify(Err(error)),
        Err(Error::TimedOut { .. }) => Verdict::Transient,
        Err(Error::BreakerOpen { .. } | Error::Full { .. }) => Verdict::Ignored,
    }
}
