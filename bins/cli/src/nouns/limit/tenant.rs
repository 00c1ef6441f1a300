//! `tidegate limit usage` and `tidegate limit tenant`: plans of tenants.

use clap::{Args, ValueEnum};
use serde_json::{Value, json};

use crate::call::{Call, object};
use crate::context::Context;
use crate::failure::Failure;
use crate::output::{Column, Kind, below, card, column};
use crate::parse::{self, OrNone};

/// A tenant's new plan.
#[derive(Debug, Args)]
pub(crate) struct Plan {
    /// The tenant's id
    #[arg(value_parser = parse::name)]
    tenant: String,
    /// Tier of the tenant
    #[arg(long)]
    tier: Option<Tier>,
    /// Requests a minute, or none for those of the tier
    #[arg(long, value_name = "NUMBER", value_parser = parse::number_or_none)]
    per_minute: Option<OrNone>,
    /// Requests an hour, or none for those of the tier
    #[arg(long, value_name = "NUMBER", value_parser = parse::number_or_none)]
    per_hour: Option<OrNone>,
    /// Requests a day, or none for those of the tier
    #[arg(long, value_name = "NUMBER", value_parser = parse::number_or_none)]
    per_day: Option<OrNone>,
    /// Users, or none for those of the tier
    #[arg(long, value_name = "NUMBER", value_parser = parse::number_or_none)]
    max_users: Option<OrNone>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum Tier {
    Free,
    Basic,
    Premium,
    Enterprise,
}

impl Tier {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Free => "free",
            Self::Basic => "basic",
            Self::Premium => "premium",
            Self::Enterprise => "enterprise",
        }
    }
}

const PLAN: [Column; 6] = [
    column("tenant", "/tenant_id", Kind::Text),
    column("tier", "/tier", Kind::Text),
    column("per minute", "/effective_limits/per_minute", Kind::Number),
    column("per hour", "/effective_limits/per_hour", Kind::Number),
    column("per day", "/effective_limits/per_day", Kind::Number),
    column("users", "/effective_limits/max_users", Kind::Number),
];

const USAGE: [Column; 5] = [
    PLAN[0],
    PLAN[1],
    column("users", "/seats/used", Kind::Number),
    column("blocked for", "/blocked_for_ms", Kind::Millis),
    column("strikes", "/strikes", Kind::Number),
];

const WINDOWS: [Column; 5] = [
    column("window", "/window", Kind::Text),
    column("limit", "/limit", Kind::Number),
    column("used", "/used", Kind::Number),
    column("remaining", "/remaining", Kind::Number),
    column("reset after", "/reset_after_ms", Kind::Millis),
];

pub(super) async fn usage(context: &Context, tenant: &str) -> Result<(), Failure> {
    let call = Call::get(["api", "rate-limit", "tenants", tenant]);
    let view = |usage: &Value| below(card(usage, &USAGE), &usage["windows"], &WINDOWS);
    context.show(call, view).await
}

impl Plan {
    pub(super) async fn run(self, context: &Context) -> Result<(), Failure> {
        let limit = |limit: Option<OrNone>| limit.map(|OrNone(most)| json!(most));
        let limits = object([
            ("per_minute", limit(self.per_minute)),
            ("per_hour", limit(self.per_hour)),
            ("per_day", limit(self.per_day)),
            ("max_users", limit(self.max_users)),
        ]);
        let has_limits = limits.as_object().is_some_and(|limits| !limits.is_empty());
        let body = object([
            ("tenant_id", Some(self.tenant.into())),
            ("tier", self.tier.map(|tier| tier.name().into())),
            ("limits", has_limits.then_some(limits)),
        ]);
        context.show(Call::post(["api", "rate-limit"]).body(body), |plan| card(plan, &PLAN)).await
    }
}
