//! Limits that many processes share: the states lie in Redis, and a script decides over each in one round trip.

mod algorithm;
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

pub use algorithm::{RedisAlgorithm, UnsupportedAlgorithm};
pub use builder::RedisLimiterBuilder;
pub(crate) use debit::Debit;
pub use lease::{LeasedLimiter, LeasedLimiterBuilder};
pub use limiter::RedisLimiter;
pub(crate) use limiter::Said;
#[cfg(feature = "tokio")]
pub use quotas::{PublishError, SharedQuotas};
pub use tenant::{RedisTenantLimiter, RedisTenantLimiterBuilder};

use crate::limiter::ensure_short;
use crate::{CheckError, StoreError};

/// The longest time that Redis keeps, in microseconds: 2⁵², 142 years. With a date of our age it stays below 2⁵³.
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

/// The `N` figures that a script answers, none of them below zero; those that it leaves out at the end are zero.
fn figures<const N: usize>(reply: Value) -> Result<[u64; N], CheckError> {
    let mut figures = [0; N];
    for (figure, value) in figures.iter_mut().zip(reply.into_array()?) {
        *figure = value.as_count()?;
    }
    Ok(figures)
}
