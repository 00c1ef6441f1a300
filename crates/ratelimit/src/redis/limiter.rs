//! A limiter that many processes share.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use async_trait::async_trait;
use tidegate_redis::{Arg, Client, Command, KeyGroup, Keyspace, Script, Value};

use super::algorithm::FIGURES;
use super::scripts::Scripts;
use super::{InRedis, MAX_MICROS, RedisAlgorithm, RedisLimiterBuilder, ensure_short, figures};
use crate::algorithm::ensure_fits;
use crate::limiter::Limiter;
use crate::stats::LimiterStats;
use crate::tally::Tally;
use crate::timestamp::whole_micros;
use crate::{BlockPolicy, CheckError, Decision, Quota, QuotaError, Quotas};

/// A [`Limiter`] whose states are stored in Redis: all processes with the same name and keyspace
/// share each key's limit.
///
/// A check runs one script in one round trip. It makes the same decision as the algorithm in
/// memory, with the server's time. A key is stored as one string, `{rl:<limiter>:<key>}`, which
/// expires when none of its charges counts. Keys are encoded so that different keys, whatever bytes
/// they contain, have different names.
///
/// # What it does not guarantee
///
/// - **A charge is neither repeated nor undone.** It is sent once. If the reply is lost or the
///   future is dropped, the server counted it once or not at all
///   ([`StoreError::may_have_charged`](crate::StoreError::may_have_charged)).
/// - **A failover loses** writes that the new primary had not received. A `FLUSHALL` loses all.
/// - **Redis has no cap on keys.** Random identities fill it until they expire: limit them in
///   front.
/// - [`stats`](Limiter::stats) cover only this process: its checks, and the keys that were refused
///   to it. Keys in Redis are not counted, so `tracked_keys`, `blocked_keys` and `evicted_live` are
///   zero.
/// - Times are limited to 142 years.
/// - After a change to another algorithm, a limiter keeps blocks and strikes, but usage starts at
///   zero. Processes that use different algorithms with one name overwrite each other's usage: give
///   the new algorithm another name.
pub struct RedisLimiter<A> {
    name: String,
    /// Replaced when the quota changes. A decision reads it once.
    algorithm: ArcSwap<A>,
    policy: Option<BlockPolicy>,
    client: Client,
    keyspace: Keyspace,
    pub(super) scripts: Scripts,
    tally: Tally,
}

#[derive(Clone, Copy)]
pub(super) struct Answer {
    pub(super) is_admitted: bool,
    pub(super) blocked: Duration,
    pub(super) figures: [u64; FIGURES],
}

/// A decision, and the usage without a block.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Said {
    pub(crate) decision: Decision,
    /// The decision without the block: the remaining amount and the reset time. With a block, the
    /// remaining amount is always zero.
    pub(crate) usage: Decision,
}

impl Answer {
    /// The decision for a cost, of which the script charged `charged` if it admitted.
    pub(super) fn decision<A: RedisAlgorithm>(self, algorithm: &A, cost: u64, charged: u64) -> Decision {
        self.said(algorithm, cost, charged).decision
    }

    pub(super) fn said<A: RedisAlgorithm>(self, algorithm: &A, cost: u64, charged: u64) -> Said {
        let Self { is_admitted, blocked, figures } = self;
        // A cost that has been charged no longer has to fit.
        let usage = algorithm.decision(figures, if is_admitted { 0 } else { cost });
        if blocked > Duration::ZERO {
            return Said { decision: usage.blocked(blocked), usage };
        }
        let decision = usage.delayed(algorithm.delay(figures, charged));
        Said { decision, usage: decision }
    }
}

impl<A: RedisAlgorithm> RedisLimiter<A> {
    /// Returns a builder for a limiter that applies `algorithm` to each key. `name` is part of the
    /// keys in Redis, and appears in headers and statistics.
    pub fn builder(
        name: impl Into<String>,
        algorithm: A,
        client: Client,
        keyspace: Keyspace,
    ) -> RedisLimiterBuilder<A> {
        RedisLimiterBuilder::new(name.into(), algorithm, InRedis::new(client, keyspace))
    }

    pub(super) fn from_builder(builder: RedisLimiterBuilder<A>) -> Self {
        let RedisLimiterBuilder { name, algorithm, policy, states: InRedis { client, keyspace, time } } = builder;
        let (scripts, algorithm) = (A::scripts(&time), ArcSwap::from_pointee(algorithm));
        Self { name, algorithm, policy, client, keyspace, scripts, tally: Tally::default() }
    }

    pub(crate) fn algorithm(&self) -> A {
        **self.algorithm.load()
    }

    pub(crate) fn client(&self) -> &Client {
        &self.client
    }

    pub(crate) fn group(&self, key: &str) -> KeyGroup {
        self.keyspace.group("rl", &[&self.name, key])
    }

    pub(crate) fn policy(&self) -> Option<BlockPolicy> {
        self.policy
    }

    /// Same as [`Limiter::check`], but not counted in the statistics.
    pub(crate) async fn decide(&self, key: &str, cost: u64) -> Result<Said, CheckError> {
        let algorithm = self.algorithm();
        ensure_fits(cost, algorithm.capacity())?;
        let [base, cap, decay] = self.policy.map_or([0; 3], |policy| policy.rule());
        let jitter = self.policy.map_or(0, |policy| policy.jitter_of(key));
        let numbers = numbers(&[cost, base, cap, decay.min(MAX_MICROS), jitter], &algorithm, cost);
        let packed: Vec<u8> = numbers.into_iter().flat_map(u64::to_le_bytes).collect();
        let answer = self.ask(&self.scripts.check, key, vec![packed.into()]).await?;
        Ok(answer.said(&algorithm, cost, cost))
    }

    /// Charges or refunds an amount regardless of the limit.
    async fn adjust(&self, key: &str, amount: u64, is_penalty: bool) -> Result<Decision, CheckError> {
        let algorithm = self.algorithm();
        // Charges never exceed this amount, so refunds need not either.
        let amount = amount.min(Quota::MAX_LIMIT);
        let [_, _, decay] = self.policy.map_or([0; 3], |policy| policy.rule());
        let numbers = numbers(&[amount, u64::from(is_penalty), decay.min(MAX_MICROS)], &algorithm, amount);
        let answer = self.ask(&self.scripts.adjust, key, args(numbers)).await?;
        Ok(answer.decision(&algorithm, 0, 0))
    }

    /// Runs a script for the key.
    async fn ask(&self, script: &Script, key: &str, args: Vec<Arg>) -> Result<Answer, CheckError> {
        ensure_short(key)?;
        let reply = self.run(script, key, args).await?;
        let [admitted, blocked, figures @ ..]: [u64; 2 + FIGURES] = figures(reply)?;
        Ok(Answer { is_admitted: admitted == 1, blocked: Duration::from_micros(blocked), figures })
    }

    /// Blocks for `length` µs, or unblocks if it is negative. Returns whether the key was blocked.
    async fn set_block(&self, key: &str, length: i64) -> Result<bool, CheckError> {
        ensure_short(key)?;
        let [_, _, decay] = self.policy.map_or([0; 3], |policy| policy.rule());
        let numbers = numbers(&[decay.min(MAX_MICROS)], &self.algorithm(), 0);
        let args = std::iter::once(Arg::from(length)).chain(numbers.into_iter().map(Arg::from)).collect();
        Ok(self.run(&self.scripts.block, key, args).await?.as_int()? == 1)
    }

    pub(super) async fn run(&self, script: &Script, key: &str, args: Vec<Arg>) -> Result<Value, CheckError> {
        let group = self.keyspace.group("rl", &[&self.name, key]);
        Ok(self.client.run(script, &[group.as_str()], args).await?)
    }
}

/// Arguments of a script: its own numbers, then the algorithm's parameters for the cost.
pub(super) fn numbers(own: &[u64], algorithm: &impl RedisAlgorithm, cost: u64) -> Vec<u64> {
    let mut numbers = Vec::with_capacity(own.len() + 10);
    numbers.extend_from_slice(own);
    algorithm.rule(cost, &mut numbers);
    numbers
}

pub(super) fn args(numbers: Vec<u64>) -> Vec<Arg> {
    numbers.into_iter().map(Arg::from).collect()
}

/// The same algorithm with another quota, if its script supports that quota.
fn supported<A: RedisAlgorithm>(algorithm: &A, quota: Quota) -> Result<A, QuotaError> {
    let algorithm = algorithm.with_quota(quota)?;
    algorithm.ensure_supported()?;
    Ok(algorithm)
}

#[async_trait]
impl<A: RedisAlgorithm> Limiter for RedisLimiter<A> {
    fn name(&self) -> &str {
        &self.name
    }

    fn quota(&self) -> Quota {
        self.algorithm().quota()
    }

    fn quotas(&self) -> Quotas {
        self.algorithm().quotas()
    }

    fn accepts(&self, quota: Quota) -> Result<(), QuotaError> {
        supported(&self.algorithm(), quota).map(drop)
    }

    /// Other processes keep their quota. Each key is converted by its next change, and refills at
    /// the old rate until then. A key without changes expires when it would have expired with the
    /// old quota.
    fn set_quota(&self, quota: Quota) -> Result<(), QuotaError> {
        let mut failed = None;
        // Repeated if another thread changes it at the same time.
        self.algorithm.rcu(|current| match supported(&**current, quota) {
            Ok(algorithm) => Arc::new(algorithm),
            Err(error) => {
                failed = Some(error);
                current.clone()
            }
        });
        failed.map_or(Ok(()), Err)
    }

    async fn check(&self, key: &str, cost: u64) -> Result<Decision, CheckError> {
        let result = self.decide(key, cost).await.map(|said| said.decision);
        self.tally.count(key, result, Decision::is_allowed)
    }

    async fn peek(&self, key: &str, cost: u64) -> Result<Decision, CheckError> {
        let algorithm = self.algorithm();
        ensure_fits(cost, algorithm.capacity())?;
        let answer = self.ask(&self.scripts.peek, key, args(numbers(&[cost], &algorithm, cost))).await?;
        Ok(answer.decision(&algorithm, cost, 0))
    }

    async fn penalty(&self, key: &str, cost: u64) -> Result<Decision, CheckError> {
        self.adjust(key, cost, true).await
    }

    async fn reward(&self, key: &str, amount: u64) -> Result<Decision, CheckError> {
        self.adjust(key, amount, false).await
    }

    async fn reset(&self, key: &str) -> Result<bool, CheckError> {
        ensure_short(key)?;
        let group = self.keyspace.group("rl", &[&self.name, key]);
        Ok(self.client.execute(Command::new("DEL").key(group.as_str())).await?.as_int()? == 1)
    }

    async fn block(&self, key: &str, duration: Duration) -> Result<(), CheckError> {
        let length = i64::try_from(whole_micros(duration).min(MAX_MICROS)).unwrap_or(i64::MAX);
        self.set_block(key, length).await.map(|_| ())
    }

    async fn unblock(&self, key: &str) -> Result<bool, CheckError> {
        self.set_block(key, -1).await
    }

    fn stats(&self) -> LimiterStats {
        self.tally.stats()
    }
}

impl<A: RedisAlgorithm> fmt::Debug for RedisLimiter<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisLimiter")
            .field("name", &self.name)
            .field("algorithm", &self.algorithm().name())
            .field("quota", &self.quota())
            .finish_non_exhaustive()
    }
}
