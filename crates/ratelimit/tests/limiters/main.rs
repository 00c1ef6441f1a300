//! The limiters: many keys, bounded memory, blocks, tenants, exact counters.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a panic is how a test fails, in its helpers too")]

mod blocks;
mod capacity;
mod concurrency;
mod deny_cache;
mod flood;
mod lists;
mod model;
mod presets;
mod quota_changes;
mod shadow;
mod single;
mod tenants;
mod tiers;
#[cfg(feature = "tokio")]
mod waiting;

/// Runs a limiter's future, which is always ready in memory, from a synchronous test.
pub(crate) fn now<F: Future>(future: F) -> F::Output {
    let mut future = std::pin::pin!(future);
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    match future.as_mut().poll(&mut context) {
        std::task::Poll::Ready(output) => output,
        std::task::Poll::Pending => panic!("a memory limiter never waits"),
    }
}
