//! Charging later what was admitted in an outage.

use std::time::Duration;

use tidegate_redis::Arg;

use super::{MAX_MICROS, RedisAlgorithm, RedisLimiter};
use crate::CheckError;
use crate::clock::whole_micros;
use crate::limiter::ensure_short;

/// What one process admitted of one key in an outage, and blocked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Debit<'a> {
    /// Names the process among all that share the limiter.
    pub(crate) process: &'a str,
    /// Grows from one debit of the process to the next.
    pub(crate) number: u64,
    /// How long ago each amount was admitted.
    pub(crate) charges: &'a [(Duration, u64)],
    /// What is left of a block that began there.
    pub(crate) block: Duration,
}

/// A number is remembered for so long beyond what it charged, in microseconds: no repetition comes later.
const MEMORY: u64 = 60_000_000;

impl<A: RedisAlgorithm> RedisLimiter<A> {
    /// Charges a debit. Repeating it, after an error too, charges nothing more.
    pub(crate) async fn debit(&self, key: &str, debit: Debit<'_>) -> Result<(), CheckError> {
        ensure_short(key)?;
        let algorithm = self.algorithm();
        let [_, _, decay] = self.policy().map_or([0; 3], |policy| policy.rule());
        let memory = algorithm.remembers().saturating_add(MEMORY).min(MAX_MICROS) / 1_000;
        let block = whole_micros(debit.block).min(MAX_MICROS);
        let mut args: Vec<Arg> = vec![debit.process.into(), debit.number.into()];
        args.extend([memory, block, decay.min(MAX_MICROS), debit.charges.len() as u64].map(Arg::from));
        algorithm.rule(0, &mut args);
        for (age, amount) in debit.charges {
            args.extend([whole_micros(*age).min(MAX_MICROS), *amount].map(Arg::from));
            algorithm.rule(*amount, &mut args);
        }
        let group = self.group(key);
        let keys = [group.as_str().to_owned(), group.key("debits")];
        self.client().run(&self.scripts.debit, &keys, args).await?;
        Ok(())
    }
}
