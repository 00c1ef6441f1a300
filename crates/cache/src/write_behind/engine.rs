//! The task that flushes: at intervals, at enough writes, after failures, and once at the end.

use std::error::Error;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::FutureExt;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::error::{FlushError, NotFlushed, WriteBehindError};
use super::options::WriteBehindOptions;
use tidegate_cache_tiers::{Event, event::notify};
use tidegate_sync::Lock;

/// How long to wait for another process that flushes, before the next check.
const OTHERS: Duration = Duration::from_millis(50);

/// Result of a batch.
#[derive(Default)]
pub(super) struct Flushed {
    pub(super) writes: usize,
    /// Whether there are enough writes for another batch.
    pub(super) more: bool,
}

/// Flushes the pending writes, a batch at a time.
#[async_trait]
pub(super) trait Batches: Send + Sync + 'static {
    async fn flush(&self) -> Result<Flushed, FlushError>;
    async fn waiting(&self) -> Result<u64, WriteBehindError>;
}

/// Counters of a write-behind in this process, and the number of pending writes.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct WriteBehindStatus {
    /// Pending keys, whichever process wrote them; `None` if Redis cannot be reached.
    pub waiting: Option<u64>,
    /// Writes that this process has flushed, after coalescing.
    pub written: u64,
    /// Number of batches.
    pub batches: u64,
    /// Batches that failed.
    pub failures: u64,
    /// Reason why the last attempt failed; `None` if it succeeded.
    pub last_error: Option<String>,
}

#[derive(Default)]
struct Counts {
    written: AtomicU64,
    batches: AtomicU64,
    failures: AtomicU64,
    last_error: Mutex<Option<String>>,
}

struct Work {
    batches: Box<dyn Batches>,
    /// `None` if no other process flushes these writes.
    turn: Option<Lock>,
    options: WriteBehindOptions,
    /// One round at a time in this process.
    round: tokio::sync::Mutex<()>,
    due: Notify,
    closed: AtomicBool,
    /// Writes that were admitted and are not accepted yet.
    admitted: AtomicUsize,
    all_taken: Notify,
    counts: Counts,
}

/// A write that was admitted, for the last flush. Dropped once it was accepted or refused.
pub(super) struct Admitted(Arc<Work>);

impl Drop for Admitted {
    fn drop(&mut self) {
        if self.0.admitted.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.0.all_taken.notify_waiters();
        }
    }
}

/// The task, ended with its last handle, after a last round.
pub(super) struct Engine {
    work: Arc<Work>,
    stop: watch::Sender<bool>,
}

enum Round {
    Done,
    /// Another process flushes.
    Others,
}

impl Engine {
    /// Starts the task.
    pub(super) fn start(batches: Box<dyn Batches>, turn: Option<Lock>, options: WriteBehindOptions) -> Self {
        let work = Arc::new(Work {
            batches,
            turn,
            options,
            round: tokio::sync::Mutex::default(),
            due: Notify::new(),
            closed: AtomicBool::new(false),
            admitted: AtomicUsize::new(0),
            all_taken: Notify::new(),
            counts: Counts::default(),
        });
        let (stop, stopped) = watch::channel(false);
        tokio::spawn(run(Arc::clone(&work), stopped));
        Self { work, stop }
    }

    pub(super) fn admit(&self) -> Result<Admitted, WriteBehindError> {
        self.work.admitted.fetch_add(1, Ordering::SeqCst);
        let admitted = Admitted(Arc::clone(&self.work));
        // Counts first, reads the flag second: one of write and shutdown sees the other.
        if self.work.closed.load(Ordering::SeqCst) { Err(WriteBehindError::Closed) } else { Ok(admitted) }
    }

    /// Records the number of pending writes. If there are enough, they are flushed at once.
    pub(super) fn told(&self, waiting: u64) {
        if waiting >= self.work.options.count as u64 {
            self.work.due.notify_one();
        }
    }

    /// Flushes all pending writes, with pauses after failures, for at most `within`.
    pub(super) async fn flush(&self, within: Duration) -> Result<(), NotFlushed> {
        let deadline = Instant::now() + within;
        let mut reason = None;
        let flushed = timeout_at(deadline, async {
            for failures in 1.. {
                match apart(&self.work).await {
                    Ok(Round::Done) => return,
                    Ok(Round::Others) => sleep(OTHERS).await,
                    Err(error) => {
                        reason = Some(error);
                        sleep(self.work.options.pause(failures)).await;
                    }
                }
            }
        });
        if flushed.await.is_ok() {
            return Ok(());
        }
        // In memory this sends no request. Redis replies within its own time-out.
        let waiting = self.work.batches.waiting().await.ok();
        Err(NotFlushed { waiting, reason: reason.map(Into::into) })
    }

    /// Stops accepting writes, flushes, and ends the task.
    pub(super) async fn shut_down(&self, within: Duration) -> Result<(), NotFlushed> {
        let deadline = Instant::now() + within;
        self.work.closed.store(true, Ordering::SeqCst);
        let taken = async {
            loop {
                let mut taken = pin!(self.work.all_taken.notified());
                // Listen first, check second.
                taken.as_mut().enable();
                if self.work.admitted.load(Ordering::SeqCst) == 0 {
                    return;
                }
                taken.await;
            }
        };
        if timeout_at(deadline, taken).await.is_err() {
            return Err(NotFlushed { waiting: self.work.batches.waiting().await.ok(), reason: None });
        }
        self.flush(deadline.saturating_duration_since(Instant::now())).await?;
        self.stop.send_replace(true);
        Ok(())
    }

    pub(super) async fn status(&self) -> WriteBehindStatus {
        let counts = &self.work.counts;
        WriteBehindStatus {
            waiting: self.work.batches.waiting().await.ok(),
            written: counts.written.load(Ordering::Relaxed),
            batches: counts.batches.load(Ordering::Relaxed),
            failures: counts.failures.load(Ordering::Relaxed),
            last_error: counts.last_error.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        }
    }
}

async fn run(work: Arc<Work>, mut stopped: watch::Receiver<bool>) {
    let mut failures = 0;
    loop {
        let pause = if failures == 0 { work.options.every } else { work.options.pause(failures) };
        tokio::select! {
            // Stopped, or the last handle was dropped.
            () = async { let _ = stopped.wait_for(|stopped| *stopped).await; } => {
                // A failed flush is reported by its event.
                let _ = apart(&work).await;
                return;
            }
            () = work.due.notified(), if failures == 0 => {}
            () = sleep(pause) => {}
        }
        match apart(&work).await {
            Ok(Round::Done) => failures = 0,
            // The other process most likely flushes the writes that are due here. So check again
            // soon, not only after an interval.
            Ok(Round::Others) => {
                sleep(OTHERS).await;
                work.due.notify_one();
            }
            Err(_) => failures = failures.saturating_add(1),
        }
    }
}

/// Runs a round in a task of its own. It completes if its caller leaves, and a panic of a codec or
/// an observer ends only that task.
async fn apart(work: &Arc<Work>) -> Result<Round, FlushError> {
    let work = Arc::clone(work);
    tokio::spawn(async move { work.round().await }).await.unwrap_or(Err(FlushError::Panicked))
}

impl Work {
    async fn round(&self) -> Result<Round, FlushError> {
        let _alone = self.round.lock().await;
        let done = self.round_alone().await;
        let error = match &done {
            Ok(_) => None,
            Err(error) => {
                let failures = self.counts.failures.fetch_add(1, Ordering::Relaxed) + 1;
                self.notify(&Event::FlushFailed { name: &self.options.name, failures, error });
                Some(error.to_string())
            }
        };
        *self.counts.last_error.lock().unwrap_or_else(PoisonError::into_inner) = error;
        done
    }

    async fn round_alone(&self) -> Result<Round, FlushError> {
        let mut turn = None;
        if let Some(lock) = &self.turn {
            turn = match lock.try_acquire().await {
                Ok(Some(guard)) => Some(guard),
                Ok(None) => return Ok(Round::Others),
                // A flush frees memory on a full server, and is correct without its turn.
                Err(error) if error.is_full() => None,
                Err(error) => return Err(error.into()),
            };
        }
        let done = loop {
            let started = Instant::now();
            match self.batches.flush().await {
                Ok(flushed) if flushed.writes > 0 => {
                    self.counts.written.fetch_add(flushed.writes as u64, Ordering::Relaxed);
                    self.counts.batches.fetch_add(1, Ordering::Relaxed);
                    let (name, writes) = (&self.options.name, flushed.writes);
                    self.notify(&Event::Flushed { name, writes, elapsed: started.elapsed() });
                    if !flushed.more {
                        break Ok(Round::Done);
                    }
                }
                Ok(_) => break Ok(Round::Done),
                Err(error) => break Err(error),
            }
            let Some(turn) = &turn else { continue };
            match turn.extend().await {
                Ok(true) => {}
                Ok(false) => return Ok(Round::Others),
                Err(error) => break Err(error.into()),
            }
        };
        if let Some(turn) = turn {
            // If Redis cannot be reached, it expires.
            let _ = turn.release().await;
        }
        done
    }

    fn notify(&self, event: &Event<'_>) {
        if let Some(observer) = &self.options.observer {
            notify(&**observer, event);
        }
    }
}

/// Calls a sink: whatever the sink does, this returns in time.
pub(super) async fn call<E: Into<Box<dyn Error + Send + Sync>>>(
    sink: impl Future<Output = Result<(), E>>,
    longest: Duration,
) -> Result<(), FlushError> {
    match timeout(longest, AssertUnwindSafe(sink).catch_unwind()).await {
        Ok(Ok(done)) => done.map_err(|error| FlushError::Refused(error.into())),
        Ok(Err(_)) => Err(FlushError::Panicked),
        Err(_) => Err(FlushError::TooSlow),
    }
}
