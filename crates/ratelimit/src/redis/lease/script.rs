//! The round trip that fetches a lease.

use std::time::Duration;

use super::hot::PART_OF_REMAINING;
use crate::CheckError;
use crate::algorithm::ensure_fits;
use crate::key::ensure_short;
use crate::redis::algorithm::FIGURES;
use crate::redis::limiter::{Answer, Said, args};
use crate::redis::{MAX_MICROS, RedisAlgorithm, RedisLimiter, figures};

/// An amount that Redis has charged in advance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Grant {
    pub(super) amount: u64,
    /// Lifetime of the lease, which begins before the script was sent.
    pub(super) life: Duration,
}

impl<A: RedisAlgorithm> RedisLimiter<A> {
    /// Checks a cost. Also charges `amount` for `life` microseconds if both fit and the amount is a
    /// small part of the remaining one. Not counted in the statistics.
    pub(super) async fn lease(
        &self,
        key: &str,
        cost: u64,
        amount: u64,
        life: u64,
    ) -> Result<(Said, Grant), CheckError> {
        let algorithm = self.algorithm();
        ensure_fits(cost, algorithm.capacity())?;
        ensure_short(key)?;
        let [base, cap, decay] = self.policy().map_or([0; 3], |policy| policy.rule());
        let mut numbers = Vec::with_capacity(26);
        let jitter = self.policy().map_or(0, |policy| policy.jitter_of(key));
        let multiple = amount.saturating_mul(PART_OF_REMAINING);
        numbers.extend([cost, base, cap, decay.min(MAX_MICROS), jitter, amount, life, multiple]);
        for sum in [cost, cost.saturating_add(amount), multiple] {
            algorithm.rule(sum, &mut numbers);
        }
        let reply = self.run(&self.scripts.lease, key, args(numbers)).await?;
        let [admitted, blocked, amount, life, figures @ ..]: [u64; 4 + FIGURES] = figures(reply)?;
        let answer = Answer { is_admitted: admitted == 1, blocked: Duration::from_micros(blocked), figures };
        Ok((answer.said(&algorithm, cost, cost), Grant { amount, life: Duration::from_micros(life) }))
    }
}
