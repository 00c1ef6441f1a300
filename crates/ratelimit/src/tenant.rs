//! The quota of a tenant: a minute, an hour and a day in one step.

mod limiter;
mod memory;
mod state;
mod tier;

pub use limiter::TenantLimiter;
pub use memory::MemoryTenantLimiter;
#[cfg(feature = "redis")]
pub(crate) use state::WINDOWS;
pub use state::{TenantDecision, TenantState, WindowDecision, WindowUsage};
pub use tier::{Overrides, Tier, TierLimits};
