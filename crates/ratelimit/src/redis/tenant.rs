//! Tenant quotas that many processes share.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use tidegate_redis::{Arg, Client, Keyspace, Script, Value};

use super::algorithm::of_window;
use super::plan::{pack, unpack};
use super::{InRedis, MAX_MICROS, ensure_short};
use crate::limiter::LimiterBuilder;
use crate::tally::Tally;
use crate::tenant::{decision, windows};
use crate::timestamp::whole_micros;
use crate::{
    BlockPolicy, CheckError, LimiterStats, Quota, SeatDecision, Seats, StoreError, TenantDecision, TenantLimiter,
    TenantPlan, TenantUsage, Tiers,
};

/// A [`TenantLimiter`] whose states are stored in Redis: all processes with the same name and
/// keyspace share each tenant's quota, plan, seats and block.
///
/// Every call runs one script in one round trip on one string, `{rt:<limiter>:<tenant>}`: either
/// all windows are charged or none. Hours and days begin at UTC. Different tenant names, whatever
/// bytes they contain, have different keys. The limits of the guarantees are those of
/// [`RedisLimiter`](super::RedisLimiter#what-it-does-not-guarantee). A lost plan is stored again by
/// the first call that passes it.
pub struct RedisTenantLimiter {
    name: String,
    client: Client,
    keyspace: Keyspace,
    script: Script,
    /// The same script, allowed on a full server: for calls of operators or that free memory.
    freeing: Script,
    tiers: Tiers,
    policy: Option<BlockPolicy>,
    tally: Tally,
}

/// Builder of a [`RedisTenantLimiter`]; see [`RedisTenantLimiter::builder`].
pub type RedisTenantLimiterBuilder = LimiterBuilder<Tiers, InRedis>;

impl LimiterBuilder<Tiers, InRedis> {
    /// Sets the tiers of the plans; [`Tiers::default`] by default. The limiter stores a tier's
    /// position. A stored plan whose tier is not among them reads as `unknown`, with its limits.
    #[must_use]
    pub fn tiers(mut self, tiers: Tiers) -> Self {
        self.algorithm = tiers;
        self
    }

    /// Builds the limiter. Sends nothing.
    pub fn build(self) -> RedisTenantLimiter {
        let Self { name, algorithm: tiers, policy, states: InRedis { client, keyspace, time } } = self;
        let script = time.tenant();
        let freeing = script.clone().allow_oom();
        RedisTenantLimiter { name, client, keyspace, script, freeing, tiers, policy, tally: Tally::default() }
    }
}

struct Reply(std::vec::IntoIter<Value>);

impl Reply {
    fn value(&mut self) -> Result<Value, StoreError> {
        self.0.next().ok_or_else(|| StoreError::new("the script of a tenant answered too little"))
    }

    fn count(&mut self) -> Result<u64, CheckError> {
        Ok(self.value()?.as_count()?)
    }

    fn flag(&mut self) -> Result<bool, CheckError> {
        Ok(self.count()? == 1)
    }

    /// A number of users. `None` if it is unlimited or unknown.
    fn users(&mut self) -> Result<Option<u32>, CheckError> {
        Ok(u32::try_from(self.count()?).ok())
    }

    /// The plan that applies: the one in the reply, or the passed one if there is none.
    fn plan(&mut self, brought: &TenantPlan, tiers: &Tiers) -> Result<TenantPlan, CheckError> {
        let bytes = self.value()?.into_bytes()?;
        Ok(if bytes.is_empty() { *brought } else { unpack(&bytes, tiers)? })
    }
}

struct Figures {
    status: u64,
    blocked_for: u64,
    minute: [u64; 3],
    hour: [u64; 2],
    day: [u64; 2],
    plan: TenantPlan,
}

impl Figures {
    fn read(reply: &mut Reply, brought: &TenantPlan, tiers: &Tiers) -> Result<Self, CheckError> {
        let (status, blocked_for) = (reply.count()?, reply.count()?);
        let minute = [reply.count()?, reply.count()?, reply.count()?];
        let hour = [reply.count()?, reply.count()?];
        let day = [reply.count()?, reply.count()?];
        Ok(Self { status, blocked_for, minute, hour, day, plan: reply.plan(brought, tiers)? })
    }

    fn blocked_for(&self) -> Option<Duration> {
        (self.blocked_for > 0).then(|| Duration::from_micros(self.blocked_for))
    }
}

/// Sent instead of a cost that is too large to be exact in the script. It exceeds every limit.
const ABOVE_ALL: u64 = Quota::MAX_LIMIT + 1;
const CAN_NEVER_FIT: u64 = 2;

impl RedisTenantLimiter {
    /// Returns a builder. `name` is part of the keys in Redis.
    pub fn builder(name: impl Into<String>, client: Client, keyspace: Keyspace) -> RedisTenantLimiterBuilder {
        LimiterBuilder::new(name.into(), Tiers::default(), InRedis::new(client, keyspace))
    }

    /// Same as [`TenantLimiter::check`], but not counted in the statistics. Also returns the usage
    /// of each window, which the decision for a blocked tenant does not contain.
    pub(crate) async fn decide(
        &self,
        tenant: &str,
        plan: &TenantPlan,
        cost: u64,
    ) -> Result<(TenantDecision, [u64; 3]), CheckError> {
        let figures = self.figures("check", tenant, plan, cost).await?;
        // A cost that has been charged no longer has to fit.
        let asked = if figures.status == 1 { 0 } else { cost };
        Ok((decided(&figures, asked), [figures.minute[0], figures.hour[0], figures.day[0]]))
    }

    pub(crate) fn policy(&self) -> Option<BlockPolicy> {
        self.policy
    }

    /// Whether the client is available, as a watch channel.
    pub(crate) fn availability(&self) -> tokio::sync::watch::Receiver<bool> {
        self.client.availability().watch()
    }

    /// Completes when Redis has replied, or when the client has given up.
    pub(crate) fn is_there(&self) -> impl Future<Output = ()> + Send + 'static {
        let (client, group) = (self.client.clone(), self.keyspace.group("rt", &[&self.name, ""]));
        async move { drop(client.get(group.as_str()).await) }
    }

    /// Charges to each window what a process admitted during an outage. Repeating it with the same
    /// number, even after an error, charges nothing more.
    pub(crate) async fn debit(
        &self,
        tenant: &str,
        plan: &TenantPlan,
        process: &str,
        number: u64,
        amounts: [u64; 3],
    ) -> Result<(), CheckError> {
        let group = self.keyspace.group("rt", &[&self.name, tenant]);
        let mut args = self.args("debit", tenant, 0, Some(plan))?;
        args.extend([process.into(), number.into()]);
        args.extend(amounts.map(Arg::from));
        let keys = [group.as_str().to_owned(), group.key("debits")];
        self.client.run(&self.script, &keys, args).await?;
        Ok(())
    }

    async fn figures(
        &self,
        work: &'static str,
        tenant: &str,
        plan: &TenantPlan,
        cost: u64,
    ) -> Result<Figures, CheckError> {
        let mut reply = self.ask(work, tenant, cost.min(ABOVE_ALL), Some(plan)).await?;
        let figures = Figures::read(&mut reply, plan, &self.tiers)?;
        if figures.status == CAN_NEVER_FIT {
            return Err(CheckError::CostExceedsLimit { cost, limit: figures.blocked_for });
        }
        Ok(figures)
    }

    async fn usage_after(
        &self,
        work: &'static str,
        tenant: &str,
        plan: &TenantPlan,
        amount: u64,
    ) -> Result<TenantUsage, CheckError> {
        let mut reply = self.ask(work, tenant, amount.min(Quota::MAX_LIMIT), Some(plan)).await?;
        let figures = Figures::read(&mut reply, plan, &self.tiers)?;
        let (used, strikes) = (reply.users()?, reply.count()?);
        let [in_minute, reset, _] = figures.minute;
        let of_windows = [(in_minute, reset), figures.hour.into(), figures.day.into()];
        Ok(TenantUsage {
            windows: windows(&figures.plan, of_windows.map(|(used, reset)| (used, Duration::from_micros(reset)))),
            seats: Seats { used, allowed: figures.plan.limits().max_users() },
            blocked_for: figures.blocked_for(),
            strikes: u32::try_from(strikes).unwrap_or(u32::MAX),
            plan: figures.plan,
        })
    }

    async fn ask(
        &self,
        work: &'static str,
        tenant: &str,
        amount: u64,
        plan: Option<&TenantPlan>,
    ) -> Result<Reply, CheckError> {
        let args = self.args(work, tenant, amount, plan)?;
        let group = self.keyspace.group("rt", &[&self.name, tenant]);
        let script = match work {
            "block" | "unblock" | "reset" | "give_seat" => &self.freeing,
            _ => &self.script,
        };
        let reply: Value = self.client.run(script, &[group.as_str()], args).await?;
        Ok(Reply(reply.into_array()?.into_iter()))
    }

    fn args(
        &self,
        work: &'static str,
        tenant: &str,
        amount: u64,
        plan: Option<&TenantPlan>,
    ) -> Result<Vec<Arg>, CheckError> {
        ensure_short(tenant)?;
        let [base, cap, decay] = self.policy.map_or([0; 3], |policy| policy.rule());
        let jitter = self.policy.map_or(0, |policy| policy.jitter_of(tenant));
        let plan = plan.map(|plan| pack(plan, &self.tiers)).unwrap_or_default();
        let decay = decay.min(MAX_MICROS);
        Ok(vec![work.into(), amount.into(), plan.into(), base.into(), cap.into(), decay.into(), jitter.into()])
    }
}

fn decided(figures: &Figures, asked: u64) -> TenantDecision {
    let [of_minute, of_hour, of_day] = figures.plan.limits().quotas();
    let ([used, reset, retry], [in_hour, hour_left], [in_day, day_left]) = (figures.minute, figures.hour, figures.day);
    let decisions = [
        of_window(of_minute, used, reset, retry, asked),
        of_window(of_hour, in_hour, hour_left, hour_left, asked),
        of_window(of_day, in_day, day_left, day_left, asked),
    ];
    decision(figures.status == 1, decisions, figures.blocked_for(), figures.plan)
}

#[async_trait]
impl TenantLimiter for RedisTenantLimiter {
    async fn check(&self, tenant: &str, plan: &TenantPlan, cost: u64) -> Result<TenantDecision, CheckError> {
        let result = self.decide(tenant, plan, cost).await.map(|(decision, _)| decision);
        self.tally.count(tenant, result, |decision| decision.allowed)
    }

    async fn peek(&self, tenant: &str, plan: &TenantPlan, cost: u64) -> Result<TenantDecision, CheckError> {
        Ok(decided(&self.figures("peek", tenant, plan, cost).await?, cost))
    }

    async fn usage(&self, tenant: &str, plan: &TenantPlan) -> Result<TenantUsage, CheckError> {
        self.usage_after("usage", tenant, plan, 0).await
    }

    async fn penalty(&self, tenant: &str, plan: &TenantPlan, cost: u64) -> Result<TenantUsage, CheckError> {
        self.usage_after("penalty", tenant, plan, cost).await
    }

    async fn reward(&self, tenant: &str, plan: &TenantPlan, amount: u64) -> Result<TenantUsage, CheckError> {
        self.usage_after("reward", tenant, plan, amount).await
    }

    async fn block(&self, tenant: &str, duration: Duration) -> Result<(), CheckError> {
        let length = whole_micros(duration).min(MAX_MICROS);
        self.ask("block", tenant, length, None).await.map(|_| ())
    }

    async fn unblock(&self, tenant: &str) -> Result<bool, CheckError> {
        self.ask("unblock", tenant, 0, None).await?.flag()
    }

    async fn reset(&self, tenant: &str) -> Result<bool, CheckError> {
        self.ask("reset", tenant, 0, None).await?.flag()
    }

    async fn set_plan(&self, tenant: &str, plan: &TenantPlan) -> Result<bool, CheckError> {
        self.ask("set_plan", tenant, 0, Some(plan)).await?.flag()
    }

    async fn plan(&self, tenant: &str) -> Result<Option<TenantPlan>, CheckError> {
        let mut reply = self.ask("plan", tenant, 0, None).await?;
        if !reply.flag()? {
            return Ok(None);
        }
        Ok(Some(unpack(&reply.value()?.into_bytes()?, &self.tiers)?))
    }

    async fn take_seat(&self, tenant: &str, plan: &TenantPlan, in_use: u32) -> Result<SeatDecision, CheckError> {
        let mut reply = self.ask("take_seat", tenant, in_use.into(), Some(plan)).await?;
        let (taken, used, allowed) = (reply.flag()?, reply.count()?, reply.users()?);
        Ok(SeatDecision { taken, used: u32::try_from(used).unwrap_or(u32::MAX), allowed })
    }

    async fn give_seat(&self, tenant: &str) -> Result<Option<u32>, CheckError> {
        self.ask("give_seat", tenant, 0, None).await?.users()
    }

    async fn set_seats(&self, tenant: &str, used: u32) -> Result<(), CheckError> {
        self.ask("set_seats", tenant, used.into(), None).await.map(|_| ())
    }

    fn stats(&self) -> LimiterStats {
        self.tally.stats()
    }
}

impl fmt::Debug for RedisTenantLimiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisTenantLimiter")
            .field("name", &self.name)
            .field("block", &self.policy)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use tidegate_redis::{Client, Config, Role};
    use tidegate_testkit::redis::{Effect, RedisServer};

    use super::*;
    use crate::{Overrides, Tier};

    /// The charge is written before its number: a debit that is repeated is charged at least once.
    #[tokio::test]
    async fn a_torn_debit_of_a_tenant_is_charged_when_it_is_repeated() {
        let server = RedisServer::start().await;
        let config = Config::parse(&server.url()).unwrap().command_timeout(Duration::from_secs(30));
        let client = Client::connect(&config, Role::Cache).await.unwrap();
        let limiter = RedisTenantLimiter::builder("torn", client, Keyspace::new("test").unwrap()).build();
        let plan = TenantPlan::try_new(Tier::ENTERPRISE, Overrides::default()).unwrap();
        let debit = async || limiter.debit("t", &plan, "process", 1, [10, 20, 30]).await.unwrap();
        let day = async || limiter.usage("t", &plan).await.unwrap().windows[2].used;
        debit().await;
        let script = server.append_only_file().effects();
        assert_eq!(script.iter().map(Effect::name).collect::<Vec<_>>(), ["SET", "HSET", "PEXPIREAT"]);
        for prefix in 0..=script.len() {
            server.replay(&script[..prefix]).await;
            debit().await;
            assert_eq!(day().await, if prefix == 1 { 60 } else { 30 }, "after {:?}", &script[..prefix]);
        }
        // The server ignores the partial script, receives the repetition, and has both after the
        // next restart.
        server.replay(&[]).await;
        let written = server.append_only_file().effects().len();
        debit().await;
        let repeated = server.effects_since(written);
        for prefix in 0..=script.len() {
            server.replay(&[&script[..prefix], &repeated].concat()).await;
            assert_eq!(day().await, 30, "after {:?}", &script[..prefix]);
        }
    }
}
