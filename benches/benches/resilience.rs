//! Cost of each policy for a call that succeeds at once, in rounds that take turns, by the
//! processor time of one thread. The breaker is also compared with two peers. A ratio below 1 means
//! that ours is faster.
#![expect(clippy::print_stdout, reason = "this is what it is run for")]

use std::convert::Infallible;
use std::hint::black_box;
use std::time::Duration;

use failsafe::futures::CircuitBreaker as _;
use futures_util::FutureExt;
use tidegate_benches::Comparison;
use tidegate_resilience::{Bulkhead, CircuitBreaker, Resilience, Retry, Timeout};

const ROUNDS: usize = 41;
const CALLS: u32 = 100_000;

/// The operation.
async fn succeed() -> Result<u32, Infallible> {
    black_box(Ok(1))
}

/// Polls once: nothing in here waits.
fn now<T>(call: impl Future<Output = T>) -> T {
    call.now_or_never().expect("nothing waits")
}

fn repeated(call: impl Fn() -> bool) -> impl Fn(u32) {
    move |calls| (0..calls).for_each(|_| assert!(call()))
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    // The timer of a time-out needs a runtime.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
    let _entered = runtime.enter();
    let breaker = CircuitBreaker::builder("bench").failure_rate(0.5, Duration::from_secs(10), 100).build()?;
    let consecutive = CircuitBreaker::builder("bench").consecutive_failures(5).build()?;
    let bulkhead = Bulkhead::builder("bench", 32).build()?;
    let timeout = Timeout::new("bench", Duration::from_secs(1));
    let all = Resilience::new()
        .retry(Retry::builder("bench").max_attempts(3).build()?)
        .bulkhead(bulkhead.clone())
        .breaker(breaker.clone())
        .timeout(timeout.clone());

    let bare = repeated(|| now(succeed()).is_ok());
    let with = |name: &str, call: &dyn Fn() -> bool| {
        println!("{name}, beside the bare call: {}", Comparison::in_turns(ROUNDS, CALLS, repeated(call), &bare));
    };
    with("time-out", &|| now(timeout.call(succeed)).is_ok());
    with("bulkhead", &|| now(bulkhead.call(succeed)).is_ok());
    with("breaker, consecutive failures", &|| now(consecutive.call(succeed)).is_ok());
    with("breaker, failure rate", &|| now(breaker.call(succeed)).is_ok());
    with("retry, bulkhead, breaker and time-out", &|| now(all.call(succeed)).is_ok());

    let recloser = recloser::AsyncRecloser::from(recloser::Recloser::custom().build());
    let failsafe = failsafe::Config::new().build();
    let ours = repeated(|| now(breaker.call(succeed)).is_ok());
    let theirs = repeated(|| now(recloser.call(succeed())).is_ok());
    println!("breaker beside recloser: {}", Comparison::in_turns(ROUNDS, CALLS, &ours, theirs));
    let ours = repeated(|| now(consecutive.call(succeed)).is_ok());
    let theirs = repeated(|| now(failsafe.call(succeed())).is_ok());
    println!("breaker beside failsafe: {}", Comparison::in_turns(ROUNDS, CALLS, &ours, theirs));
    Ok(())
}
