//! Helpers of the tests in memory.

use tidegate_ratelimit::{ManualClock, Timestamp};

/// A clock at a date in 2023.
pub(crate) fn clock() -> ManualClock {
    ManualClock::at(Timestamp::from_micros(1_700_000_000_000_000))
}

/// Runs a limiter's future, which is always ready in memory, from a synchronous test.
pub(crate) fn now<F: Future>(future: F) -> F::Output {
    let mut future = std::pin::pin!(future);
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    match future.as_mut().poll(&mut context) {
        std::task::Poll::Ready(output) => output,
        std::task::Poll::Pending => panic!("a memory limiter never waits"),
    }
}
