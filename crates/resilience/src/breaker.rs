//! Circuit breakers.

mod builder;
mod keyed;
mod machine;
#[cfg(test)]
mod model_tests;
mod window;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;

pub use builder::CircuitBreakerBuilder;
pub use keyed::CircuitBreakers;
pub use machine::State;

use crate::classify::{Classify, EveryError, Verdict};
use crate::error::Error;
use crate::observer::Event;
use builder::Settings;
use machine::{Change, Machine, Signal};

/// Refuses calls to a dependency that fails, and probes whether it is back. Clones share the state.
///
/// - **Closed**: every call runs. The breaker opens after a number of failures in a row, or when a
///   share of the calls in a sliding window failed.
/// - **Open**: calls are refused with [`Error::BreakerOpen`] until `open_for` has passed.
/// - **Half-open**: at most `probes` calls run. One failure opens the breaker again; `probes`
///   successes close it. A probe that has no result after `open_for` makes room for one more.
///
/// A call that is dropped before its end, by a time-out outside or by a panic, counts neither as
/// success nor as failure, and gives its probe slot back. So put the time-out inside the breaker,
/// as [`Resilience`](crate::Resilience) does. A call that ends after the breaker has changed its
/// state does not count.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use tidegate_resilience::{CircuitBreaker, Error, State};
///
/// let breaker = CircuitBreaker::builder("payments").consecutive_failures(2).build()?;
/// for _ in 0..2 {
///     let _ = breaker.call(|| async { Err::<(), _>("connection refused") }).await;
/// }
/// assert_eq!(breaker.state(), State::Open);
/// let refused = breaker.call(|| async { Ok::<_, &str>(()) }).await;
/// assert!(matches!(refused, Err(Error::BreakerOpen { .. })));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct CircuitBreaker<C = EveryError> {
    shared: Arc<Shared>,
    classifier: C,
}

#[derive(Debug)]
struct Shared {
    name: Arc<str>,
    settings: Settings,
    machine: Mutex<Machine>,
}

impl CircuitBreaker {
    /// Starts a breaker that opens after 5 failures in a row, for 30 seconds, and admits one probe.
    pub fn builder(name: impl Into<Arc<str>>) -> CircuitBreakerBuilder {
        CircuitBreakerBuilder::new(name.into())
    }

    fn new(name: Arc<str>, settings: Settings) -> Self {
        let machine = Mutex::new(Machine::new(settings.rules, Instant::now()));
        Self { shared: Arc::new(Shared { name, settings, machine }), classifier: EveryError }
    }
}

impl<C> CircuitBreaker<C> {
    /// Returns the same breaker with another classifier. Both share their state.
    #[must_use]
    pub fn classify<T, E, F>(&self, classifier: F) -> CircuitBreaker<F>
    where
        F: Fn(Result<&T, &E>) -> Verdict,
    {
        CircuitBreaker { shared: Arc::clone(&self.shared), classifier }
    }

    /// Returns the name.
    pub fn name(&self) -> &str {
        &self.shared.name
    }

    /// Returns the state. An open breaker whose time is over is half-open: its next call is a
    /// probe.
    pub fn state(&self) -> State {
        self.shared.lock().state(Instant::now())
    }

    /// Opens the breaker until [`reset`](Self::reset).
    pub fn force_open(&self) {
        let change = self.shared.lock().force_open();
        self.shared.report(change);
    }

    /// Closes the breaker and forgets all failures.
    pub fn reset(&self) {
        let change = self.shared.lock().reset(Instant::now());
        self.shared.report(change);
    }

    /// Runs the operation, unless the breaker is open.
    ///
    /// # Errors
    /// [`Error::BreakerOpen`], and the errors of the operation as [`Error::Inner`].
    pub async fn call<T, E, F, Fut>(&self, operation: F) -> Result<T, Error<E>>
    where
        F: FnOnce() -> Fut,
        Fut: Future<Output = Result<T, E>>,
        C: Classify<T, E>,
    {
        let ticket = self.admit()?;
        let result = operation().await;
        ticket.finish(self.classifier.classify(result.as_ref()));
        result.map_err(Error::Inner)
    }

    /// Admits one call, or refuses it.
    pub(crate) fn admit<E>(&self) -> Result<Ticket<'_>, Error<E>> {
        let shared = &*self.shared;
        let (admission, change) = shared.lock().admit(Instant::now);
        shared.report(change);
        match admission {
            Ok(generation) => Ok(Ticket { shared, generation, signal: Signal::Nothing }),
            Err(retry_in) => {
                shared.settings.emitter.emit(&Event::BreakerRefused { name: &shared.name, retry_in });
                Err(Error::BreakerOpen { name: Arc::clone(&shared.name), retry_in })
            }
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Machine> {
        self.machine.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn report(&self, change: Option<Change>) {
        if let Some(Change { from, to }) = change {
            self.settings.emitter.emit(&Event::BreakerChanged { name: &self.name, from, to });
        }
    }
}

/// Call in progress. A dropped one counts as nothing, and gives its probe slot back.
#[derive(Debug)]
pub(crate) struct Ticket<'a> {
    shared: &'a Shared,
    generation: u64,
    signal: Signal,
}

impl Ticket<'_> {
    /// Counts the result of the call.
    pub(crate) fn finish(mut self, verdict: Verdict) {
        self.signal = match verdict {
            Verdict::Success | Verdict::Permanent => Signal::Success,
            Verdict::Transient | Verdict::TransientAfter(_) => Signal::Failure,
            Verdict::Ignored => Signal::Nothing,
        };
    }
}

impl Drop for Ticket<'_> {
    fn drop(&mut self) {
        let change = self.shared.lock().finish(self.generation, self.signal, Instant::now);
        self.shared.report(change);
    }
}
