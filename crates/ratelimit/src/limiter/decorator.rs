//! Limiters around another limiter.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use super::Limiter;
use crate::stats::LimiterStats;
use crate::{CheckError, Decision, Quota, QuotaError, Quotas};

/// A limiter around another one. Every call is forwarded to the [inner](Self::inner) limiter unless
/// the decorator has a method of its own for it.
///
/// Each decorator is a [`Limiter`], which documents the methods. Code that calls a decorator
/// imports `Limiter` alone, because both traits have methods of the same names.
///
/// ```
/// # use async_trait::async_trait;
/// # use tidegate_ratelimit::{CheckError, Decision, Limiter, LimiterDecorator};
/// /// Counts a cost of zero as one.
/// struct AtLeastOne<L>(L);
///
/// #[async_trait]
/// impl<L: Limiter> LimiterDecorator for AtLeastOne<L> {
///     type Inner = L;
///
///     fn inner(&self) -> &L {
///         &self.0
///     }
///
///     async fn check(&self, key: &str, cost: u64) -> Result<Decision, CheckError> {
///         self.0.check(key, cost.max(1)).await
///     }
/// }
/// ```
#[async_trait]
pub trait LimiterDecorator: Send + Sync {
    /// Type of the inner limiter.
    type Inner: Limiter + ?Sized;

    /// The limiter to which calls are forwarded.
    fn inner(&self) -> &Self::Inner;

    /// As [`Limiter::name`].
    fn name(&self) -> &str {
        self.inner().name()
    }

    /// As [`Limiter::quota`].
    fn quota(&self) -> Quota {
        self.inner().quota()
    }

    /// As [`Limiter::quotas`].
    fn quotas(&self) -> Quotas {
        self.inner().quotas()
    }

    /// As [`Limiter::accepts`].
    ///
    /// # Errors
    /// As [`Limiter::accepts`].
    fn accepts(&self, quota: Quota) -> Result<(), QuotaError> {
        self.inner().accepts(quota)
    }

    /// As [`Limiter::set_quota`].
    ///
    /// # Errors
    /// As [`Limiter::set_quota`].
    fn set_quota(&self, quota: Quota) -> Result<(), QuotaError> {
        self.inner().set_quota(quota)
    }

    /// As [`Limiter::check`].
    async fn check(&self, key: &str, cost: u64) -> Result<Decision, CheckError> {
        self.inner().check(key, cost).await
    }

    /// As [`Limiter::peek`].
    async fn peek(&self, key: &str, cost: u64) -> Result<Decision, CheckError> {
        self.inner().peek(key, cost).await
    }

    /// As [`Limiter::penalty`].
    async fn penalty(&self, key: &str, cost: u64) -> Result<Decision, CheckError> {
        self.inner().penalty(key, cost).await
    }

    /// As [`Limiter::reward`].
    async fn reward(&self, key: &str, amount: u64) -> Result<Decision, CheckError> {
        self.inner().reward(key, amount).await
    }

    /// As [`Limiter::reset`].
    async fn reset(&self, key: &str) -> Result<bool, CheckError> {
        self.inner().reset(key).await
    }

    /// As [`Limiter::block`].
    async fn block(&self, key: &str, duration: Duration) -> Result<(), CheckError> {
        self.inner().block(key, duration).await
    }

    /// As [`Limiter::unblock`].
    async fn unblock(&self, key: &str) -> Result<bool, CheckError> {
        self.inner().unblock(key).await
    }

    /// As [`Limiter::known_denial`].
    fn known_denial(&self, key: &str, cost: u64) -> Option<Decision> {
        self.inner().known_denial(key, cost)
    }

    /// As [`Limiter::stats`].
    fn stats(&self) -> LimiterStats {
        self.inner().stats()
    }
}

/// The future of an asynchronous method, as `async_trait` declares it.
type Answer<'c, T> = Pin<Box<dyn Future<Output = Result<T, CheckError>> + Send + 'c>>;

/// Methods that return the future of the decorator's method of the same name.
macro_rules! pass_on {
    ($($method:ident($($arg:ident: $type:ty)?) -> $answer:ty;)*) => {$(
        fn $method<'a, 'b, 'c>(&'a self, key: &'b str $(, $arg: $type)?) -> Answer<'c, $answer>
        where
            'a: 'c,
            'b: 'c,
            Self: 'c,
        {
            LimiterDecorator::$method(self, key $(, $arg)?)
        }
    )*};
}

/// Passes on the futures of the decorator, so that it adds none of its own.
impl<D: LimiterDecorator> Limiter for D {
    fn name(&self) -> &str {
        LimiterDecorator::name(self)
    }

    fn quota(&self) -> Quota {
        LimiterDecorator::quota(self)
    }

    fn quotas(&self) -> Quotas {
        LimiterDecorator::quotas(self)
    }

    fn accepts(&self, quota: Quota) -> Result<(), QuotaError> {
        LimiterDecorator::accepts(self, quota)
    }

    fn set_quota(&self, quota: Quota) -> Result<(), QuotaError> {
        LimiterDecorator::set_quota(self, quota)
    }

    pass_on! {
        check(cost: u64) -> Decision;
        peek(cost: u64) -> Decision;
        penalty(cost: u64) -> Decision;
        reward(amount: u64) -> Decision;
        reset() -> bool;
        block(duration: Duration) -> ();
        unblock() -> bool;
    }

    fn known_denial(&self, key: &str, cost: u64) -> Option<Decision> {
        LimiterDecorator::known_denial(self, key, cost)
    }

    fn stats(&self) -> LimiterStats {
        LimiterDecorator::stats(self)
    }
}

/// A limiter behind an [`Arc`] is a limiter too.
impl<L: Limiter + ?Sized> LimiterDecorator for Arc<L> {
    type Inner = L;

    fn inner(&self) -> &L {
        self
    }
}
