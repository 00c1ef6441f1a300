//! What can fail below the primitives.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

/// The store of a primitive failed.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{operation} failed: {source}")]
pub struct StoreError {
    operation: &'static str,
    is_transient: bool,
    may_have_run: bool,
    is_full: bool,
    // A box in it, since the copies of an error share one source, and `source()` returns what is in
    // the box.
    source: Arc<Box<dyn Error + Send + Sync>>,
}

impl StoreError {
    /// A failure that changed nothing and that trying again won't mend; `operation` says what was under way.
    pub fn new(operation: &'static str, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { operation, is_transient: false, may_have_run: false, is_full: false, source: Arc::new(source.into()) }
    }

    /// Says that trying again later may help.
    #[must_use]
    pub fn transient(mut self) -> Self {
        self.is_transient = true;
        self
    }

    /// Says that the step may have been taken all the same.
    #[must_use]
    pub fn maybe_run(mut self) -> Self {
        self.may_have_run = true;
        self
    }

    /// Whether the server has no memory left, so that it refuses what takes more. Nothing has changed.
    pub fn is_full(&self) -> bool {
        self.is_full
    }

    /// Whether trying again later may help.
    pub fn is_transient(&self) -> bool {
        self.is_transient
    }

    /// Whether the step may have been taken although nobody answered. Repeating it with the same id tells.
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

/// A lock or a permit was not acquired.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AcquireError {
    /// Others held it for as long as one was willing to wait.
    #[error("not acquired within {after:?}: held by others")]
    TimedOut {
        /// The time that was given.
        after: Duration,
    },
    /// The store failed, for good or until the time was over.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A number is above 2^53 − 1, where the scripts' numbers would round, or zero where that makes no sense.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("quantity {0} is not between 1 and 9007199254740991")]
pub struct QuantityError(pub(crate) u64);

/// The largest number that a script can compute with: 2^53 − 1.
pub(crate) const MAX_QUANTITY: u64 = (1 << 53) - 1;

pub(crate) fn check_quantity(quantity: u64) -> Result<u64, QuantityError> {
    if (1..=MAX_QUANTITY).contains(&quantity) { Ok(quantity) } else { Err(QuantityError(quantity)) }
}
