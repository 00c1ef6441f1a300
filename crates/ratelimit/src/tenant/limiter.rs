//! Limiters for many tenants, each with its own plan.

use std::time::Duration;

use async_trait::async_trait;

use super::{SeatDecision, TenantDecision, TenantPlan, TenantUsage};
use crate::{CheckError, LimiterStats};

/// Enforces each tenant's plan. Object safe.
///
/// Every call is one atomic step that covers all windows, the block, the plan and the seats.
/// Concurrent checks of one tenant admit exactly as much as sequential checks.
///
/// # The source of the plan
///
/// The application's own records are the source. The application passes the plan that it knows with
/// each call, and [`set_plan`](Self::set_plan) informs the limiter of a change. The limiter stores
/// the plan with the highest [epoch](TenantPlan::epoch) that it has seen, for at least one day, and
/// applies it in the same step as the check. A node with outdated records therefore cannot restore
/// an older plan.
///
/// Usage is carried over as an amount, so charges are kept. If the limiter stores no plan, because
/// a store lost it or it expired, the plan of the call applies. It is stored if it has an epoch.
#[async_trait]
pub trait TenantLimiter: Send + Sync {
    /// Admits and charges `cost` to all windows of `tenant`, or refuses and charges none. A refusal
    /// may start a block if the limiter has a [`BlockPolicy`](crate::BlockPolicy).
    ///
    /// # Errors
    /// [`CheckError`] if `cost` is above one of the limits that apply, the tenant's name is longer
    /// than [`MAX_KEY_BYTES`](crate::MAX_KEY_BYTES), there is no capacity, or the store cannot be
    /// reached.
    async fn check(&self, tenant: &str, plan: &TenantPlan, cost: u64) -> Result<TenantDecision, CheckError>;

    /// Whether [`check`](Self::check) would admit `cost`. Charges nothing, blocks no tenant,
    /// updates no counter and stores no plan.
    ///
    /// # Errors
    /// As [`check`](Self::check), except [`CheckError::Full`].
    async fn peek(&self, tenant: &str, plan: &TenantPlan, cost: u64) -> Result<TenantDecision, CheckError>;

    /// The usage of `tenant`: windows, seats, block and the plan that applies. Changes nothing.
    ///
    /// # Errors
    /// [`CheckError`] if the tenant's name is too long or the store cannot be reached.
    async fn usage(&self, tenant: &str, plan: &TenantPlan) -> Result<TenantUsage, CheckError>;

    /// Charges `cost` to all windows even if it does not fit, to each up to twice its limit.
    /// Neither blocks nor counts as a strike.
    ///
    /// # Errors
    /// As [`check`](Self::check), except [`CheckError::CostExceedsLimit`].
    async fn penalty(&self, tenant: &str, plan: &TenantPlan, cost: u64) -> Result<TenantUsage, CheckError>;

    /// Refunds `amount` from the latest charges of each window, as far as they still count.
    ///
    /// # Errors
    /// As [`usage`](Self::usage).
    async fn reward(&self, tenant: &str, plan: &TenantPlan, amount: u64) -> Result<TenantUsage, CheckError>;

    /// Refuses every request of `tenant` for `duration` from now. Replaces an earlier block. Does
    /// not count as a strike. A duration of zero ends the block and keeps the strikes.
    ///
    /// # Errors
    /// As [`usage`](Self::usage), and [`CheckError::Full`].
    async fn block(&self, tenant: &str, duration: Duration) -> Result<(), CheckError>;

    /// Ends the block and removes the strikes, not the usage. Returns whether it was blocked.
    ///
    /// # Errors
    /// As [`usage`](Self::usage).
    async fn unblock(&self, tenant: &str) -> Result<bool, CheckError>;

    /// Removes the usage, block and strikes of `tenant`. Its plan and seats are kept. Returns
    /// whether there was anything to remove.
    ///
    /// # Errors
    /// As [`usage`](Self::usage).
    async fn reset(&self, tenant: &str) -> Result<bool, CheckError>;

    /// Applies a plan on every node that shares this limiter's states, unless a newer one is
    /// stored. Returns whether the plan applies now. A plan without an epoch is not stored, see
    /// [`TenantPlan`].
    ///
    /// # Errors
    /// As [`block`](Self::block).
    async fn set_plan(&self, tenant: &str, plan: &TenantPlan) -> Result<bool, CheckError>;

    /// The stored plan. `None` if the limiter stores none.
    ///
    /// # Errors
    /// As [`usage`](Self::usage).
    async fn plan(&self, tenant: &str) -> Result<Option<TenantPlan>, CheckError>;

    /// Takes one of the plan's seats for a new user, if one is free.
    ///
    /// `in_use` is the number of users in the application's own records. The limiter uses it if it
    /// stores no number of its own: because it never received one, lost its store, or received
    /// neither a plan nor seats for one day. The records remain authoritative. If the caller then
    /// fails to store the user, it must return the seat with [`give_seat`](Self::give_seat).
    /// [`set_seats`](Self::set_seats) corrects the number if a process fails between the two steps.
    /// Lowering the number of seats below those in use removes no user, but new users are refused.
    ///
    /// # Errors
    /// As [`block`](Self::block).
    async fn take_seat(&self, tenant: &str, plan: &TenantPlan, in_use: u32) -> Result<SeatDecision, CheckError>;

    /// Gives back a seat of a removed user. Returns the seats in use, `None` if not stored.
    ///
    /// # Errors
    /// As [`usage`](Self::usage).
    async fn give_seat(&self, tenant: &str) -> Result<Option<u32>, CheckError>;

    /// Sets the number of seats in use, according to the application's own records.
    ///
    /// # Errors
    /// As [`block`](Self::block).
    async fn set_seats(&self, tenant: &str, used: u32) -> Result<(), CheckError>;

    /// Exact counters of this process since the limiter was built.
    fn stats(&self) -> LimiterStats;
}
