//! Tenant quotas: minute, hour and day, plan, seats and block, in one atomic step.

mod decision;
mod limiter;
mod memory;
mod plan;
mod state;
mod tier;
mod tiers;

pub use decision::{SeatDecision, Seats, TenantDecision, TenantUsage, WindowDecision, WindowUsage};
#[cfg(feature = "redis")]
pub(crate) use decision::{decision, windows};
pub use limiter::TenantLimiter;
pub use memory::MemoryTenantLimiter;
pub use plan::TenantPlan;
pub use state::TenantState;
pub use tier::{Overrides, Tier, TierLimits};
#[cfg(feature = "redis")]
pub(crate) use tiers::TierName;
pub use tiers::Tiers;
