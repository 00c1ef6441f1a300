//! Time-outs, retries with a budget, circuit breakers and bulkheads.
//!
//! ```
//! use std::time::Duration;
//! use tidegate_resilience::{Bulkhead, CircuitBreaker, Error, Resilience, Retry, Timeout};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let payments = Resilience::new()
//!     .retry(Retry::builder("payments").max_attempts(3).build()?)
//!     .bulkhead(Bulkhead::builder("payments", 32).build()?)
//!     .breaker(CircuitBreaker::builder("payments").consecutive_failures(5).build()?)
//!     .timeout(Timeout::new("payments", Duration::from_secs(2)));
//!
//! let answer: Result<&str, Error<std::io::Error>> = payments.call(|| async { Ok("paid") }).await;
//! assert_eq!(answer?, "paid");
//!
//! // Each policy also works alone.
//! let breaker = CircuitBreaker::builder("mail").build()?;
//! let sent = breaker.call(|| async { Err::<(), _>("connection refused") }).await;
//! assert_eq!(sent, Err(Error::Inner("connection refused")));
//! # Ok(())
//! # }
//! ```
//!
//! Worked examples: [an exchange rate of another service][exchange_rate] and [a
//! checkout][checkout].
//!
//! [exchange_rate]: https://github.com/tidegate/tidegate/blob/main/examples/exchange_rate/main.rs
//! [checkout]: https://github.com/tidegate/tidegate/blob/main/examples/checkout/main.rs
//!
//! | type | what it does |
//! |---|---|
//! | [`Timeout`] | cancels a call that takes too long |
//! | [`Retry`] | repeats a failed call after a [`Backoff`], within a [`RetryBudget`] |
//! | [`CircuitBreaker`] | refuses calls to a dependency that fails, and probes whether it is back |
//! | [`CircuitBreakers`] | one breaker per key, under a cap on keys |
//! | [`Bulkhead`] | bounds the calls that run at the same time, and those that wait |
//! | [`Resilience`] | all of them around one call, with one flat [`Error`] |
//! | [`Classify`] | decides which results are failures; by default every `Err` is |
//! | [`Observer`] | receives an [`Event`] for each refusal, retry and change of state |
//!
//! Every policy is cheap to clone, and its clones share their state. All times come from the clock
//! of tokio, so tests can pause them. No lock is held over an `await`.
//!
//! | feature | default | content |
//! |---|---|---|
//! | `tower` | yes | `tower_layer::Layer` for every policy, and the service `Guarded` |

mod breaker;
mod bulkhead;
mod classify;
mod error;
#[cfg(feature = "tower")]
mod layer;
mod observer;
mod pipeline;
mod retry;
mod timeout;

pub use breaker::{CircuitBreaker, CircuitBreakerBuilder, CircuitBreakers, State};
pub use bulkhead::{Bulkhead, BulkheadBuilder};
pub use classify::{Classify, EveryError, Verdict};
pub use error::{ConfigError, Error};
#[cfg(feature = "tower")]
pub use layer::Guarded;
pub use observer::{Event, GaveUp, Observer};
pub use pipeline::Resilience;
pub use retry::{Backoff, Retry, RetryBudget, RetryBuilder};
pub use timeout::Timeout;
