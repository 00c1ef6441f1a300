//! `tidegate limit`.

mod tenant;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use self::tenant::Plan;
pub(crate) use self::tenant::Tier;
use crate::call::Call;
use crate::context::Context;
use crate::failure::Failure;
use crate::output::{Column, Kind, below, card, cell, column, table};
use crate::parse;

#[derive(Debug, Subcommand)]
#[command(subcommand_value_name = "VERB", subcommand_help_heading = "Verbs")]
pub(crate) enum Limit {
    /// List all limiters, and tenants whose rate is unusual
    List,
    /// Show a limiter, and the keys that it refused most often
    Show {
        /// Name of a limiter, as `limit list` has it
        limiter: String,
    },
    /// Check whether a key would be admitted, without charging it
    Check(Key),
    /// Forget what a key has used, its block and its strikes
    Reset(Key),
    /// Refuse everything from a key for a time, on every node
    Block {
        #[command(flatten)]
        key: Key,
        /// Length of the block, up to 366 days
        #[arg(long = "for", value_name = "TIME", value_parser = parse::seconds)]
        time: u64,
    },
    /// End a key's block
    Unblock(Key),
    /// Set the quota of a limiter
    Quota {
        /// Name of a limiter
        limiter: String,
        /// Quota such as 100/minute, or default for that of the settings
        quota: String,
    },
    /// Show a tenant's plan, and what it has used
    Usage {
        /// The tenant's id
        #[arg(value_parser = parse::name)]
        tenant: String,
    },
    /// Change a tenant's tier, or its own limits
    #[command(arg_required_else_help = true)]
    Tenant(Plan),
}

/// A key of a limiter: an address, a user, a tenant.
#[derive(Debug, Args)]
pub(crate) struct Key {
    /// Name of a limiter, such as api or ddos
    limiter: String,
    /// Key that it counts, such as an address or a tenant's id
    key: String,
}

const LIMITERS: [Column; 8] = [
    column("limiter", "/name", Kind::Text),
    column("algorithm", "/algorithm", Kind::Text),
    column("quota", "/quota", Kind::Text),
    column("mode", "/mode", Kind::Text),
    column("allowed", "/stats/allowed", Kind::Number),
    column("denied", "/stats/denied", Kind::Number),
    column("keys", "/stats/tracked_keys", Kind::Number),
    column("blocked", "/stats/blocked_keys", Kind::Number),
];

const LIMITER: [Column; 14] = [
    LIMITERS[0],
    LIMITERS[1],
    LIMITERS[2],
    column("quota that applies", "/applied_quota", Kind::Text),
    column("quota of the settings", "/settings_quota", Kind::Text),
    column("first block", "/block_seconds", Kind::Seconds),
    LIMITERS[3],
    column("always allowed", "/allow", Kind::List),
    column("always denied", "/deny", Kind::List),
    LIMITERS[4],
    LIMITERS[5],
    column("failed", "/stats/failed", Kind::Number),
    LIMITERS[6],
    LIMITERS[7],
];

const FLAGGED: [Column; 4] = [
    column("unusual tenant", "/tenant_id", Kind::Text),
    column("since", "/since", Kind::Text),
    column("requests", "/requests", Kind::Number),
    column("usual", "/usual", Kind::Number),
];

const DENIED: [Column; 2] = [column("refused key", "/0", Kind::Text), column("times", "/1", Kind::Number)];

const DECISION: [Column; 6] = [
    column("allowed", "/allowed", Kind::Text),
    column("limit", "/limit", Kind::Number),
    column("remaining", "/remaining", Kind::Number),
    column("reset after", "/reset_after_ms", Kind::Millis),
    column("retry after", "/retry_after_ms", Kind::Millis),
    column("blocked until", "/blocked_until", Kind::Text),
];

impl Limit {
    pub(crate) async fn run(self, context: &Context) -> Result<(), Failure> {
        match self {
            Self::List => context.show(all(), listed).await,
            Self::Show { limiter } => show(context, &limiter).await,
            Self::Check(Key { limiter, key }) => {
                let body = json!({"limiter": limiter, "key": key, "peek": true});
                context
                    .show(Call::post(["api", "rate-limit", "check"]).body(body), |answer| card(answer, &DECISION))
                    .await
            }
            Self::Reset(key) => {
                let call = key.of(Call::delete(["api", "rate-limit"]));
                context.show(call, |answer| key.done(&answer["reset"], "is reset", "was not known")).await
            }
            Self::Block { key, time } => {
                let body = json!({"limiter": key.limiter, "key": key.key, "seconds": time});
                let call = Call::post(["api", "rate-limit", "block"]).body(body);
                let until = |answer: &Value| cell(&answer["blocked_until"], Kind::Text);
                context.show(call, |answer| format!("{} is blocked until {}", key.key, until(answer))).await
            }
            Self::Unblock(key) => {
                let call = key.of(Call::delete(["api", "rate-limit", "block"]));
                context.show(call, |answer| key.done(&answer["unblocked"], "is unblocked", "was not blocked")).await
            }
            Self::Quota { limiter, quota } => {
                let quota = if quota == "default" { Value::Null } else { quota.into() };
                let call = Call::post(["api", "rate-limit"]).body(json!({"limiter": limiter, "quota": quota}));
                let quota = |answer: &Value| cell(&answer["quota"], Kind::Text);
                context.show(call, |answer| format!("limiter {limiter} has the quota {}", quota(answer))).await
            }
            Self::Usage { tenant } => tenant::usage(context, &tenant).await,
            Self::Tenant(plan) => plan.run(context).await,
        }
    }
}

impl Key {
    fn of(&self, call: Call) -> Call {
        call.query("limiter", Some(&self.limiter)).query("key", Some(&self.key))
    }

    fn done(&self, was_known: &Value, done: &str, otherwise: &str) -> String {
        format!("{} {}", self.key, if *was_known == true { done } else { otherwise })
    }
}

fn all() -> Call {
    Call::get(["api", "rate-limit"])
}

fn listed(answer: &Value) -> String {
    below(table(&answer["limiters"], &LIMITERS), &answer["flagged"], &FLAGGED)
}

/// The API lists limiters and shows none alone.
async fn show(context: &Context, limiter: &str) -> Result<(), Failure> {
    let answer = context.client.send(&all()).await?.json()?;
    let limiters = answer["limiters"].as_array().map(Vec::as_slice).unwrap_or_default();
    let Some(found) = limiters.iter().find(|found| found["name"] == limiter) else {
        let names: Vec<_> = limiters.iter().map(|limiter| cell(&limiter["name"], Kind::Text)).collect();
        return Err(Failure::Incomplete(format!("there is no limiter `{limiter}`; there is {}", names.join(", "))));
    };
    context.print_value(found, |limiter| below(card(limiter, &LIMITER), &limiter["stats"]["top_denied"], &DENIED))
}
