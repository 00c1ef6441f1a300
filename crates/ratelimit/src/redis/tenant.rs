//! The tenants' quota that many processes share.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use tidegate_redis::{Arg, Client, ClockPrelude, Command, Keyspace, Script, Value};

use super::algorithm::of_window;
use super::scripts::Time;
use super::{ensure_short, figures};
use crate::algorithm::ensure_fits;
use crate::tally::Tally;
use crate::tenant::WINDOWS;
use crate::{CheckError, LimiterStats, TenantDecision, TenantLimiter, TierLimits, WindowDecision, WindowUsage};

/// A [`TenantLimiter`] whose states lie in Redis: all processes that use one name and one keyspace share each tenant's
/// quota.
///
/// A check is one script, one round trip over one string, `{rt:<limiter>:<tenant>}`: all windows are charged or none. Hours
/// and days begin at UTC. What [`RedisLimiter`](super::RedisLimiter#what-it-does-not-guarantee) doesn't guarantee, this
/// doesn't either.
pub struct RedisTenantLimiter {
    name: String,
    client: Client,
    keyspace: Keyspace,
    script: Script,
    tally: Tally,
}

/// Collects the options of a [`RedisTenantLimiter`]; see [`RedisTenantLimiter::builder`].
pub struct RedisTenantLimiterBuilder {
    name: String,
    client: Client,
    keyspace: Keyspace,
    time: Time,
}

impl RedisTenantLimiterBuilder {
    /// Takes time from the clock of a test; the server's unless set.
    #[doc(hidden)]
    #[must_use]
    pub fn test_clock(mut self, clock: ClockPrelude) -> Self {
        self.time = Time::of_test(clock);
        self
    }

    /// Builds the limiter. Sends nothing.
    pub fn build(self) -> RedisTenantLimiter {
        let Self { name, client, keyspace, time } = self;
        RedisTenantLimiter { name, client, keyspace, script: time.tenant(), tally: Tally::default() }
    }
}

/// What the script says: the minute's used, reset and retry, then used and next of the hour and of the day.
type Figures = [u64; 8];

/// Charges nothing; says what is used.
const LOOK: i64 = -1;

impl RedisTenantLimiter {
    /// Starts a limiter; `name` is part of the keys in Redis.
    pub fn builder(name: impl Into<String>, client: Client, keyspace: Keyspace) -> RedisTenantLimiterBuilder {
        RedisTenantLimiterBuilder { name: name.into(), client, keyspace, time: Time::SERVER }
    }

    /// As [`TenantLimiter::check`], but counts nothing for the statistics.
    pub(crate) async fn decide(
        &self,
        tenant: &str,
        limits: &TierLimits,
        cost: u64,
    ) -> Result<TenantDecision, CheckError> {
        ensure_short(tenant)?;
        ensure_fits(cost, limits.smallest())?;
        let figures = self.ask(tenant, limits, cost.into()).await?;
        let allowed = figures[0] == 1;
        // What has been charged is no longer asked for.
        let cost = if allowed { 0 } else { cost };
        let [minute, hour, day] = limits.quotas();
        let [_, used, reset, retry, in_hour, hour_left, in_day, day_left] = figures;
        let decisions = [
            of_window(minute, used, reset, retry, cost),
            of_window(hour, in_hour, hour_left, hour_left, cost),
            of_window(day, in_day, day_left, day_left, cost),
        ];
        let mut names = WINDOWS.into_iter();
        let windows = decisions.map(|decision| WindowDecision { name: names.next().unwrap_or_default(), decision });
        Ok(TenantDecision { allowed, windows })
    }

    async fn ask(&self, tenant: &str, limits: &TierLimits, cost: Arg) -> Result<Figures, CheckError> {
        let mut args = vec![cost];
        args.extend(limits.quotas().map(|quota| Arg::from(quota.limit())));
        let reply: Value = self.client.run(&self.script, &[self.group(tenant).as_str()], args).await?;
        figures(reply)
    }

    fn group(&self, tenant: &str) -> tidegate_redis::KeyGroup {
        self.keyspace.group("rt", &[&self.name, tenant])
    }
}

#[async_trait]
impl TenantLimiter for RedisTenantLimiter {
    async fn check(&self, tenant: &str, limits: &TierLimits, cost: u64) -> Result<TenantDecision, CheckError> {
        let result = self.decide(tenant, limits, cost).await;
        self.tally.count(tenant, result, |decision| decision.allowed)
    }

    async fn usage(&self, tenant: &str, limits: &TierLimits) -> Result<[WindowUsage; 3], CheckError> {
        ensure_short(tenant)?;
        let [_, used, reset, _, in_hour, hour_left, in_day, day_left] = self.ask(tenant, limits, LOOK.into()).await?;
        let [minute, hour, day] = limits.quotas().map(|quota| quota.limit());
        let usage = |window, limit: u64, used: u64, reset: u64| {
            let reset_after = if used == 0 { Duration::ZERO } else { Duration::from_micros(reset) };
            WindowUsage { window, limit, used, remaining: limit.saturating_sub(used), reset_after }
        };
        Ok([
            usage(WINDOWS[0], minute, used, reset),
            usage(WINDOWS[1], hour, in_hour, hour_left),
            usage(WINDOWS[2], day, in_day, day_left),
        ])
    }

    async fn reset(&self, tenant: &str) -> Result<bool, CheckError> {
        ensure_short(tenant)?;
        Ok(self.client.execute(Command::new("DEL").key(self.group(tenant).as_str())).await?.as_int()? == 1)
    }

    fn stats(&self) -> LimiterStats {
        self.tally.stats()
    }
}

impl fmt::Debug for RedisTenantLimiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisTenantLimiter").field("name", &self.name).finish_non_exhaustive()
    }
}

impl fmt::Debug for RedisTenantLimiterBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisTenantLimiterBuilder").field("name", &self.name).finish_non_exhaustive()
    }
}
