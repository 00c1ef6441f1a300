//! Bulkheads: a bound on the calls that run at the same time.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::{Instant, timeout};

use crate::error::{ConfigError, Error};
use crate::observer::{Emitter, Event, Observer};

/// Bounds the calls that run at the same time. Clones share the bound.
///
/// A call beyond `max_concurrent` waits for a place if fewer than `max_waiting` calls wait, and for
/// at most `max_wait`. Any further call is refused at once. Waiting calls get their places in order
/// of arrival. A cancelled call frees its place at once, in the bulkhead or in the queue.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use std::time::Duration;
/// use tidegate_resilience::Bulkhead;
///
/// let second = Duration::from_secs(1);
/// let reports = Bulkhead::builder("reports", 4).max_waiting(16).max_wait(second).build()?;
/// let report = reports.call(|| async { Ok::<_, std::io::Error>("report") }).await?;
/// assert_eq!(report, "report");
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Bulkhead(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    settings: BulkheadBuilder,
    places: Semaphore,
    waiting: AtomicUsize,
}

/// Settings of a [`Bulkhead`]. By default no call waits.
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until `build`"]
pub struct BulkheadBuilder {
    name: Arc<str>,
    max_concurrent: usize,
    max_waiting: usize,
    max_wait: Duration,
    emitter: Emitter,
}

impl BulkheadBuilder {
    /// Sets the maximum number of calls that wait for a place. 0 by default.
    pub fn max_waiting(mut self, calls: usize) -> Self {
        self.max_waiting = calls;
        self
    }

    /// Sets the longest time that a call waits for a place. One second by default.
    pub fn max_wait(mut self, wait: Duration) -> Self {
        self.max_wait = wait;
        self
    }

    /// Sets the observer.
    pub fn observer(mut self, observer: Arc<dyn Observer>) -> Self {
        self.emitter = Emitter::new(observer);
        self
    }

    /// Creates the bulkhead.
    ///
    /// # Errors
    /// [`ConfigError`] if `max_concurrent` is 0.
    pub fn build(mut self) -> Result<Bulkhead, ConfigError> {
        if self.max_concurrent == 0 {
            return Err(ConfigError::new(&self.name, "max_concurrent", "must be at least 1"));
        }
        self.max_concurrent = self.max_concurrent.min(Semaphore::MAX_PERMITS);
        let places = Semaphore::new(self.max_concurrent);
        Ok(Bulkhead(Arc::new(Shared { settings: self, places, waiting: AtomicUsize::new(0) })))
    }
}

impl Bulkhead {
    /// Starts a bulkhead that runs at most `max_concurrent` calls at a time.
    pub fn builder(name: impl Into<Arc<str>>, max_concurrent: usize) -> BulkheadBuilder {
        BulkheadBuilder {
            name: name.into(),
            max_concurrent,
            max_waiting: 0,
            max_wait: Duration::from_secs(1),
            emitter: Emitter::default(),
        }
    }

    /// Returns the number of calls that run now.
    pub fn running(&self) -> usize {
        self.0.settings.max_concurrent - self.0.places.available_permits()
    }

    /// Returns the number of calls that wait for a place now.
    pub fn waiting(&self) -> usize {
        self.0.waiting.load(Ordering::Relaxed)
    }

    /// Runs the operation when there is a place for it.
    ///
    /// # Errors
    /// [`Error::Full`], and the errors of the operation as [`Error::Inner`].
    pub async fn call<T, E, F, Fut>(&self, operation: F) -> Result<T, Error<E>>
    where
        F: FnOnce() -> Fut,
        Fut: Future<Output = Result<T, E>>,
    {
        let _place = self.place().await?;
        operation().await.map_err(Error::Inner)
    }

    /// Waits for a place as long as the settings allow.
    pub(crate) async fn place<E>(&self) -> Result<SemaphorePermit<'_>, Error<E>> {
        let Shared { settings, places, .. } = &*self.0;
        if let Ok(place) = places.try_acquire() {
            return Ok(place);
        }
        let Some(_waiting) = self.queue() else { return Err(self.refuse(Duration::ZERO)) };
        settings.emitter.emit(&Event::BulkheadQueued { name: &settings.name });
        let since = Instant::now();
        match timeout(settings.max_wait, places.acquire()).await {
            Ok(Ok(place)) => Ok(place),
            // The semaphore is never closed, so only the time-out leads here.
            _ => Err(self.refuse(since.elapsed())),
        }
    }

    /// Takes a place in the queue, if one is free.
    fn queue(&self) -> Option<Waiting<'_>> {
        let Shared { settings, waiting, .. } = &*self.0;
        let one_more = |count: usize| (count < settings.max_waiting).then_some(count + 1);
        waiting.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more).ok()?;
        Some(Waiting(waiting))
    }

    fn refuse<E>(&self, waited: Duration) -> Error<E> {
        let BulkheadBuilder { name, max_concurrent, emitter, .. } = &self.0.settings;
        emitter.emit(&Event::BulkheadRefused { name, waited });
        Error::Full { name: Arc::clone(name), max_concurrent: *max_concurrent, waited }
    }
}

/// Place in the queue, freed on drop.
struct Waiting<'a>(&'a AtomicUsize);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
