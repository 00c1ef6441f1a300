//! `tidegate tenant`.

use clap::Subcommand;
use serde_json::{Value, json};

use super::limit::Tier;
use crate::call::{Call, object};
use crate::context::Context;
use crate::failure::Failure;
use crate::output::{Column, Kind, card, cell, column};
use crate::parse;

#[derive(Debug, Subcommand)]
#[command(subcommand_value_name = "VERB", subcommand_help_heading = "Verbs")]
pub(crate) enum Tenant {
    /// List tenants by id
    List {
        /// Maximum number of tenants, up to 200
        #[arg(long, value_name = "NUMBER")]
        limit: Option<u64>,
        /// Cursor of the page before
        #[arg(long)]
        cursor: Option<String>,
    },
    /// Show a tenant and its plan
    Show {
        /// The tenant's id
        #[arg(value_parser = parse::name)]
        tenant: String,
    },
    /// Create a tenant; its first API key is shown this once
    Create {
        /// The tenant's id
        #[arg(value_parser = parse::name)]
        tenant: String,
        /// Name for people; the id without it
        #[arg(long)]
        name: Option<String>,
        #[arg(long)]
        tier: Option<Tier>,
    },
    /// Have jobs work out anew when all schedules of a tenant are due
    Reindex {
        /// The tenant's id
        #[arg(value_parser = parse::name)]
        tenant: String,
    },
}

const TENANTS: [Column; 4] = [
    column("id", "/id", Kind::Text),
    column("name", "/name", Kind::Text),
    column("tier", "/tier", Kind::Text),
    column("created", "/created_at", Kind::Text),
];

const TENANT: [Column; 8] = [
    TENANTS[0],
    TENANTS[1],
    TENANTS[2],
    TENANTS[3],
    column("per minute", "/effective_limits/per_minute", Kind::Number),
    column("per hour", "/effective_limits/per_hour", Kind::Number),
    column("per day", "/effective_limits/per_day", Kind::Number),
    column("users", "/effective_limits/max_users", Kind::Number),
];

impl Tenant {
    pub(crate) async fn run(self, context: &Context) -> Result<(), Failure> {
        match self {
            Self::List { limit, cursor } => {
                let call = Call::get(["api", "tenants"]).query("limit", limit).query("cursor", cursor);
                context.list(call, &TENANTS).await
            }
            Self::Show { tenant } => {
                context.show(Call::get(["api", "tenants", &tenant]), |tenant| card(tenant, &TENANT)).await
            }
            Self::Create { tenant, name, tier } => {
                let body = object([
                    ("name", Some(name.unwrap_or_else(|| tenant.clone()).into())),
                    ("id", Some(tenant.into())),
                    ("tier", tier.map(|tier| json!(tier.name()))),
                ]);
                context.show(Call::post(["api", "tenants"]).body(body), created).await
            }
            Self::Reindex { tenant } => {
                let call = Call::post(["api", "tenants", &tenant, "reindex"]);
                context.show(call, |answer| cell(&answer["job_id"], Kind::Text)).await
            }
        }
    }
}

fn created(tenant: &Value) -> String {
    format!("{}\n{}", card(tenant, &TENANT), card(tenant, &[column("API key", "/api_key", Kind::Text)]))
}
