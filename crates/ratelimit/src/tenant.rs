//! The quota of a tenant: a minute, an hour and a day in one step.

mod limiter;
mod state;
mod tier;

pub use limiter::TenantLimiter;
pub use state::{TenantDecision, TenantState, WindowDecision, WindowUsage};
pub use tier::{Overrides, Tier, TierLimits};
