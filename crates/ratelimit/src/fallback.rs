//! Limiters that continue to decide during a Redis outage.

mod builder;
mod changes;
mod debts;
mod known;
mod limiter;
mod moment;
mod outage;
mod patience;
mod settling;
mod shared;
mod tenant;

use std::num::NonZeroU32;

pub use builder::{FallbackBuilder, FallbackLimiterBuilder, FallbackTenantLimiterBuilder};
pub use limiter::FallbackLimiter;
pub use shared::SharedLimiter;
pub use tenant::FallbackTenantLimiter;

use crate::{CheckError, StoreError};

/// Which requests are admitted while Redis cannot be reached. A key that this process knows to be
/// blocked remains blocked with every policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutagePolicy {
    /// Admits every request uncounted. For a limit whose absence during an outage does no harm.
    Open,
    /// Refuses every request: the check returns [`CheckError::Store`]. For a limit that must never
    /// be exceeded, such as password attempts.
    Closed,
    /// Admits requests up to an equal share of the limit, counted in this process only.
    ///
    /// `instances` processes together admit at most the limit in a window within the outage. (If
    /// the limit is smaller than their number, they admit one each.) In the window in which the
    /// outage begins, they admit at most the limit plus their shares. Headers and figures are those
    /// of the share. A [`FallbackLimiter`] begins with the remaining part of the share, and later
    /// charges to Redis what it admitted.
    ///
    /// In the first window without a reply, Redis may only be slow. During that window each process
    /// admits its part of the last remaining count that Redis reported. The count is divided by the
    /// number of [`LiveProcesses`](crate::LiveProcesses) if that is greater than `instances`. See
    /// [`FallbackLimiter`] for the resulting guarantee.
    LocalShare {
        /// Number of processes that share the limit.
        instances: NonZeroU32,
    },
}

impl OutagePolicy {
    /// The whole limit in each process, as a process without Redis would apply it.
    pub const ALONE: Self = Self::LocalShare { instances: NonZeroU32::MIN };

    fn parts(self) -> NonZeroU32 {
        match self {
            Self::LocalShare { instances } => instances,
            Self::Open | Self::Closed => NonZeroU32::MIN,
        }
    }
}

/// [`OutagePolicy::ALONE`]: it requires no number of instances, refuses no client that paces itself
/// by the limit because of the outage, and admits no client without a bound.
impl Default for OutagePolicy {
    fn default() -> Self {
        Self::ALONE
    }
}

/// Returns the store error as an outage, and every other result unchanged.
///
/// A key that another program has written, or that cannot be read for another reason, also counts
/// as an outage: a limit must not turn every request of its client into an error.
fn or_outage<T>(result: Result<T, CheckError>) -> Result<Result<T, CheckError>, StoreError> {
    match result {
        Err(CheckError::Store(error)) => Err(error),
        other => Ok(other),
    }
}

/// A cost above the share may fit when Redis is back, so the error is the store's.
fn fits_later<T>(result: Result<T, CheckError>, error: StoreError) -> Result<T, CheckError> {
    match result {
        Err(CheckError::CostExceedsLimit { .. }) => Err(CheckError::Store(error)),
        other => other,
    }
}
