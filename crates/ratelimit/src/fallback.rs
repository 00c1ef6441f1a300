//! What decides while Redis doesn't.

mod changes;
mod debts;
mod known;
mod limiter;
mod live;
mod moment;
mod patience;
mod settling;
mod shared;
mod tenant;

use std::num::NonZeroU32;

pub(crate) use changes::Learn;
pub use limiter::{FallbackLimiter, FallbackLimiterBuilder};
pub use live::LiveProcesses;
pub(crate) use patience::Asked;
pub use shared::SharedLimiter;
pub use tenant::{FallbackTenantLimiter, FallbackTenantLimiterBuilder};

use crate::{CheckError, StoreError};

/// Who is let through while Redis can't be asked. A key that this process knows to be blocked stays so under each of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutagePolicy {
    /// Everybody, uncounted: for a limit that protects nothing which an outage could break.
    Open,
    /// Nobody: the check ends in [`CheckError::Store`]. For a limit that must never be exceeded, such as guesses at a
    /// password.
    Closed,
    /// Whoever fits into an equal share of the limit, counted in this process alone.
    ///
    /// `instances` processes together admit at most the limit (or one each, where the limit is smaller than their number) in a
    /// window that lies within the outage, and at most the limit and their shares in the one in which it begins. Headers and
    /// figures are those of the share. A [`FallbackLimiter`] begins with what was left of the share, and charges to Redis later
    /// what it admitted.
    ///
    /// In the first window without an answer Redis may only be slow. There each process admits its
    /// part of the remaining count that Redis reported last, divided by the number of
    /// [`LiveProcesses`] if that is greater than `instances`. See [`FallbackLimiter`] for what
    /// that promises.
    LocalShare {
        /// How many processes share the limit.
        instances: NonZeroU32,
    },
}

impl OutagePolicy {
    /// The whole limit in each process: what a process without Redis would admit.
    pub const ALONE: Self = Self::LocalShare { instances: NonZeroU32::MIN };

    /// How many parts the limit is cut into for this process to hold one.
    fn parts(self) -> NonZeroU32 {
        match self {
            Self::LocalShare { instances } => instances,
            Self::Open | Self::Closed => NonZeroU32::MIN,
        }
    }
}

/// [`OutagePolicy::ALONE`]: no number of instances has to be known or kept right, no client that paces itself by the limit
/// is refused for the outage alone, and no client is let through without bound.
impl Default for OutagePolicy {
    fn default() -> Self {
        Self::ALONE
    }
}

/// The outage that a result speaks of, else the result itself.
///
/// A key that somebody else has written, or that can't be read for another reason, is one too: a limit must not turn every
/// request of its client into an error.
fn outage<T>(result: Result<T, CheckError>) -> Result<Result<T, CheckError>, StoreError> {
    match result {
        Err(CheckError::Store(error)) => Err(error),
        other => Ok(other),
    }
}

/// A cost above the share may fit when Redis is back, so it isn't one that never does.
fn fits_later<T>(result: Result<T, CheckError>, error: StoreError) -> Result<T, CheckError> {
    match result {
        Err(CheckError::CostExceedsLimit { .. }) => Err(CheckError::Store(error)),
        other => other,
    }
}
