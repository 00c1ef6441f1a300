//! Limiters and detectors besides the quotas: the front door, new keys, concurrency, dynamic
//! quotas, anomalies.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a panic is how a test fails, in its helpers too")]

mod anomaly;
mod capacity;
mod concurrency;
mod dynamic;
mod front_door;
mod new_keys;

/// Runs a limiter's future, which is always ready in memory, from a synchronous test.
pub(crate) fn now<F: Future>(future: F) -> F::Output {
    let mut future = std::pin::pin!(future);
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    match future.as_mut().poll(&mut context) {
        std::task::Poll::Ready(output) => output,
        std::task::Poll::Pending => panic!("a memory limiter never waits"),
    }
}
