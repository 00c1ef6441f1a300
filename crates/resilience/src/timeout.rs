//! Time-outs.

use std::sync::Arc;
use std::time::Duration;

use crate::error::Error;
use crate::observer::{Emitter, Event, Observer};

/// Cancels a call that takes too long.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// use std::time::Duration;
/// use tidegate_resilience::{Error, Timeout};
///
/// let timeout = Timeout::new("payments", Duration::from_millis(1));
/// let result = timeout.call(|| std::future::pending::<Result<(), std::io::Error>>()).await;
/// assert!(matches!(result, Err(Error::TimedOut { .. })));
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Timeout {
    name: Arc<str>,
    limit: Duration,
    emitter: Emitter,
}

impl Timeout {
    /// Creates a time-out that ends calls after `limit`.
    pub fn new(name: impl Into<Arc<str>>, limit: Duration) -> Self {
        Self { name: name.into(), limit, emitter: Emitter::default() }
    }

    /// Sets the observer.
    #[must_use]
    pub fn observer(mut self, observer: Arc<dyn Observer>) -> Self {
        self.emitter = Emitter::new(observer);
        self
    }

    /// Runs the operation. Its future is dropped when the time is over.
    ///
    /// # Errors
    /// [`Error::TimedOut`], and the errors of the operation as [`Error::Inner`].
    pub async fn call<T, E, F, Fut>(&self, operation: F) -> Result<T, Error<E>>
    where
        F: FnOnce() -> Fut,
        Fut: Future<Output = Result<T, E>>,
    {
        if let Ok(result) = tokio::time::timeout(self.limit, operation()).await {
            return result.map_err(Error::Inner);
        }
        self.emitter.emit(&Event::TimedOut { name: &self.name, limit: self.limit });
        Err(Error::TimedOut { name: Arc::clone(&self.name), limit: self.limit })
    }
}
