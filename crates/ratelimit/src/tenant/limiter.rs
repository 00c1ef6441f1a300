//! Many tenants, each under a plan of its own.

use std::time::Duration;

use async_trait::async_trait;

use super::{SeatDecision, TenantDecision, TenantPlan, TenantUsage};
use crate::{CheckError, LimiterStats};

/// Holds each tenant to its plan. Object safe.
///
/// Every call is one atomic step, over all windows, block, plan and seats at once: simultaneous checks of one tenant admit
/// exactly what one after the other would.
///
/// # Who says what the plan is
///
/// The program's own records. It brings the plan it knows with each call; [`set_plan`](Self::set_plan) tells the limiter of a change. The
/// limiter keeps the plan with the greatest [epoch](TenantPlan::epoch) that it has seen, for a day at least, and applies it in the
/// same step as the check, so that a node whose records are behind can't bring an older plan back. Usage is carried over as an
/// amount: what was charged stays charged. Where the limiter keeps no plan, since a store lost it or it is forgotten, the one
/// that the call brings holds, and is kept if it has an epoch.
#[async_trait]
pub trait TenantLimiter: Send + Sync {
    /// Admits and charges `cost` to all windows of `tenant`, or refuses and charges none. A refusal may start a block, where the
    /// limiter has a [`BlockPolicy`](crate::BlockPolicy).
    ///
    /// # Errors
    /// [`CheckError`] when `cost` is above one of the limits in force, the tenant's name above
    /// [`MAX_KEY_BYTES`](crate::MAX_KEY_BYTES), there is no room, or the store can't be asked.
    async fn check(&self, tenant: &str, plan: &TenantPlan, cost: u64) -> Result<TenantDecision, CheckError>;

    /// Whether [`check`](Self::check) would admit `cost`. Charges nothing, blocks nobody, counts nothing, keeps no plan.
    ///
    /// # Errors
    /// As [`check`](Self::check), except [`CheckError::Full`].
    async fn peek(&self, tenant: &str, plan: &TenantPlan, cost: u64) -> Result<TenantDecision, CheckError>;

    /// What `tenant` has used of the minute, the hour, the day and its seats, its block and the plan in force. Changes nothing.
    ///
    /// # Errors
    /// [`CheckError`] when the tenant's name is too long or the store can't be asked.
    async fn usage(&self, tenant: &str, plan: &TenantPlan) -> Result<TenantUsage, CheckError>;

    /// Charges `cost` to all windows whether it fits or not, to each up to twice its limit. Neither blocks nor strikes.
    ///
    /// # Errors
    /// As [`check`](Self::check), except [`CheckError::CostExceedsLimit`].
    async fn penalty(&self, tenant: &str, plan: &TenantPlan, cost: u64) -> Result<TenantUsage, CheckError>;

    /// Takes back `amount` of what was charged last to each window, as far as it still counts there.
    ///
    /// # Errors
    /// As [`usage`](Self::usage).
    async fn reward(&self, tenant: &str, plan: &TenantPlan, amount: u64) -> Result<TenantUsage, CheckError>;

    /// Refuses everything from `tenant` for `duration` from now, in place of any earlier block. Not a strike. A duration of
    /// zero ends the block and keeps the strikes.
    ///
    /// # Errors
    /// As [`usage`](Self::usage), and [`CheckError::Full`].
    async fn block(&self, tenant: &str, duration: Duration) -> Result<(), CheckError>;

    /// Ends the tenant's block and forgets its strikes; its usage stays. Returns whether it was blocked.
    ///
    /// # Errors
    /// As [`usage`](Self::usage).
    async fn unblock(&self, tenant: &str) -> Result<bool, CheckError>;

    /// Forgets usage, block and strikes of `tenant`; its plan and seats stay. Returns whether there was any to forget.
    ///
    /// # Errors
    /// As [`usage`](Self::usage).
    async fn reset(&self, tenant: &str) -> Result<bool, CheckError>;

    /// Puts a plan in force for every node that shares this limiter's states, unless a newer one is. Returns whether it is in
    /// force now. A plan without an epoch is not kept, see [`TenantPlan`].
    ///
    /// # Errors
    /// As [`block`](Self::block).
    async fn set_plan(&self, tenant: &str, plan: &TenantPlan) -> Result<bool, CheckError>;

    /// The plan that the limiter keeps, if it keeps one.
    ///
    /// # Errors
    /// As [`usage`](Self::usage).
    async fn plan(&self, tenant: &str) -> Result<Option<TenantPlan>, CheckError>;

    /// Takes one of the plan's seats, for a user that is added, if one is free.
    ///
    /// `in_use` is how many users the program's own records hold. It counts where the limiter knows no number: where it was never
    /// told, has lost its store, or has heard of neither plan nor seats for a day. The records stay the truth: whoever fails to write the user after
    /// this gives the seat back, and [`set_seats`](Self::set_seats) puts right what is lost between the two. Lowering the number of seats
    /// below those in use evicts nobody; it refuses new ones.
    ///
    /// # Errors
    /// As [`block`](Self::block).
    async fn take_seat(&self, tenant: &str, plan: &TenantPlan, in_use: u32) -> Result<SeatDecision, CheckError>;

    /// Gives a seat back, for a user that is gone. Returns how many are in use now, if the limiter knows.
    ///
    /// # Errors
    /// As [`usage`](Self::usage).
    async fn give_seat(&self, tenant: &str) -> Result<Option<u32>, CheckError>;

    /// Sets how many seats are in use, as the program's own records say.
    ///
    /// # Errors
    /// As [`block`](Self::block).
    async fn set_seats(&self, tenant: &str, used: u32) -> Result<(), CheckError>;

    /// Exact counters of this process since the limiter was built.
    fn stats(&self) -> LimiterStats;
}
