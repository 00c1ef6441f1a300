//! What stands in front of the limits and beside them: the front door, new keys, concurrency, quotas that follow the load,
//! anomalies.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a panic is how a test fails, in its helpers too")]

mod anomaly;
mod capacity;
mod concurrency;
mod dynamic;
mod front_door;
mod new_keys;

/// The limiters' futures are always ready in memory; this runs one from a plain test.
pub(crate) fn now<F: Future>(future: F) -> F::Output {
    let mut future = std::pin::pin!(future);
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    match future.as_mut().poll(&mut context) {
        std::task::Poll::Ready(output) => output,
        std::task::Poll::Pending => panic!("a memory limiter never waits"),
    }
}
