//! The limiters in front of the routes.
//!
//! `build` creates them, `enforce` charges them, and `refusal` builds the responses to refused
//! requests.

mod adjusting;
mod anomalies;
mod build;
mod enforce;
mod front;
mod guarded;
mod keys;
mod named;
mod quotas;
mod refusal;
mod scratch;

use std::sync::Arc;

use tidegate_ratelimit::{SharedQuotas, TenantLimiter};
use tidegate_settings::LimitMode;

use self::anomalies::Anomalies;
pub use self::enforce::{announce_tenant, enforce, enforce_tenant, forgive};
pub use self::front::Front;
pub use self::keys::counted_as;
pub use self::named::Named;
pub use self::quotas::SetQuotaError;
pub use self::refusal::{refuse, undecided};
use crate::problem::Problem;

/// Name of the tenants' quota among the limiters.
pub const TENANT: &str = "tenant";

/// All rate limiters of the API.
pub struct Limiters {
    /// All requests except probes, by client address.
    pub ddos: Named,
    /// Failed logins, by address and account.
    pub auth: Named,
    /// Reports, by tenant and user.
    pub report: Named,
    /// Anonymous requests, and those of keys and users of tenants without a per-minute limit of
    /// their own.
    pub api: Named,
    /// A tenant's limits per minute, hour and day.
    pub tenants: Arc<dyn TenantLimiter>,
    /// Whether the tenants' quota is active.
    pub tenant_mode: LimitMode,
    /// Tenants whose rate is far above their usual one.
    pub anomalies: Arc<Anomalies>,
    /// Quotas that apply on every node, if the limiters use Redis.
    shared: Option<SharedQuotas>,
}

impl Limiters {
    /// All except the tenants' quota, in the order in which they are checked.
    pub fn all(&self) -> [&Named; 4] {
        [&self.ddos, &self.auth, &self.report, &self.api]
    }

    /// The limiter of that name.
    ///
    /// # Errors
    ///
    /// 404 if there is none; 422 for `tenant`, which counts each tenant by its own plan.
    pub fn named(&self, name: &str) -> Result<&Named, Problem> {
        if name == TENANT {
            let detail = "`limiter`: `tenant` counts each tenant by its own plan: name the tenant by its id in `tenant_id`, \
                          or name one of ddos, auth, report and api";
            return Err(Problem::unprocessable("bad-limiter", detail));
        }
        self.all().into_iter().find(|named| named.name() == name).ok_or_else(|| {
            let shown: String = name.chars().take(64).collect();
            Problem::not_found(format!("there is no limiter `{shown}`; there are ddos, auth, tenant, report and api"))
        })
    }
}
