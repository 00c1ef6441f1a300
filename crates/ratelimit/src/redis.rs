//! Limits that processes share: states are in Redis, and a script decides in one round trip.

mod algorithm;
mod asked;
mod builder;
mod debit;
mod lease;
mod limiter;
mod plan;
#[cfg(feature = "tokio")]
mod quotas;
mod scripts;
mod tenant;

use tidegate_redis::Value;

pub use algorithm::RedisAlgorithm;
pub(crate) use asked::{Asked, no_answer};
pub use builder::{InRedis, RedisLimiterBuilder};
pub(crate) use debit::Debit;
pub use lease::{LeasedLimiter, LeasedLimiterBuilder};
pub use limiter::RedisLimiter;
pub(crate) use limiter::Said;
#[cfg(feature = "tokio")]
pub use quotas::{PublishError, SharedQuotas};
pub use tenant::{RedisTenantLimiter, RedisTenantLimiterBuilder};

use crate::key::ensure_short;
use crate::{CheckError, StoreError};

/// Maximum time in Redis: 2⁵² µs, 142 years. The sum with a current date is below 2⁵³ µs.
const MAX_MICROS: u64 = 1 << 52;

impl From<tidegate_redis::Error> for CheckError {
    fn from(error: tidegate_redis::Error) -> Self {
        let mut store = StoreError::new(error.to_string());
        if error.is_transient() {
            store = store.transient();
        }
        if error.may_have_run() {
            store = store.maybe_charged();
        }
        Self::Store(store)
    }
}

/// Parses the `N` figures of a script's reply, none negative. Missing ones at the end are zero.
fn figures<const N: usize>(reply: Value) -> Result<[u64; N], CheckError> {
    let mut figures = [0; N];
    for (figure, value) in figures.iter_mut().zip(reply.into_array()?) {
        *figure = value.as_count()?;
    }
    Ok(figures)
}
