//! Errors of the stores and of waiting.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

/// An error of a store.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{operation} failed: {source}")]
pub struct StoreError {
    operation: &'static str,
    is_transient: bool,
    may_have_run: bool,
    is_full: bool,
    // A box, because the copies of an error share one source, and `source()` returns the content of
    // the box.
    source: Arc<Box<dyn Error + Send + Sync>>,
}

impl StoreError {
    /// Creates an error that changed nothing and is not transient. `operation` names the failed
    /// operation.
    pub fn new(operation: &'static str, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { operation, is_transient: false, may_have_run: false, is_full: false, source: Arc::new(source.into()) }
    }

    /// Marks the error as transient: a later attempt may succeed.
    #[must_use]
    pub fn transient(mut self) -> Self {
        self.is_transient = true;
        self
    }

    /// Marks that the step may have been executed.
    #[must_use]
    pub fn maybe_run(mut self) -> Self {
        self.may_have_run = true;
        self
    }

    /// Whether the server has no free memory and refuses commands that need more. Nothing has
    /// changed.
    pub fn is_full(&self) -> bool {
        self.is_full
    }

    /// Whether a later attempt may succeed.
    pub fn is_transient(&self) -> bool {
        self.is_transient
    }

    /// Whether the step may have been executed although there was no reply. Repeating it with the
    /// same id returns its result.
    pub fn may_have_run(&self) -> bool {
        self.may_have_run
    }
}

#[cfg(feature = "redis")]
impl StoreError {
    pub(crate) fn redis(operation: &'static str, source: tidegate_redis::Error) -> Self {
        let (is_transient, may_have_run) = (source.is_transient(), source.may_have_run());
        Self { operation, is_transient, may_have_run, is_full: source.is_full(), source: Arc::new(Box::new(source)) }
    }
}

/// Reason why a lock or a permit was not acquired.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AcquireError {
    /// Other owners held it for the whole timeout.
    #[error("not acquired within {after:?}: held by others")]
    TimedOut {
        /// The timeout.
        after: Duration,
    },
    /// The store failed permanently, or until the timeout.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The number is above 2^53 − 1, where the scripts would round it, or zero where it must not be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("quantity {0} is not between 1 and 9007199254740991")]
pub struct QuantityError(pub(crate) u64);

/// Maximum number that a script can represent exactly: 2^53 − 1.
pub(crate) const MAX_QUANTITY: u64 = (1 << 53) - 1;

pub(crate) fn check_quantity(quantity: u64) -> Result<u64, QuantityError> {
    if (1..=MAX_QUANTITY).contains(&quantity) { Ok(quantity) } else { Err(QuantityError(quantity)) }
}
