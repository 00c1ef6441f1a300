//! One load in progress: its callers, its end, and the notices that it receives meanwhile.

mod duty;
mod table;

use std::any::{Any, TypeId};
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::AbortHandle;

use crate::class_id::ClassId;
use crate::generation::Generation;
use crate::inquiry::Inquiry;
use crate::read::Source;
use crate::slot::Slot;

use self::duty::{Duty, GoOn};
pub use self::table::{Entered, FlightTable};

/// The types of a load's value and error. Callers share a load only if both are equal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kind {
    value: TypeId,
    error: TypeId,
}

impl Kind {
    pub fn of<V: 'static, E: 'static>() -> Self {
        Self { value: TypeId::of::<V>(), error: TypeId::of::<E>() }
    }
}

/// Outcome of a load, for every caller that waited.
#[derive(Debug)]
pub enum Outcome {
    Loaded {
        slot: Slot,
        stored: bool,
        source: Source,
        /// Number of notices of changes of the key that the flight had received when this outcome
        /// was known to be the value of the key.
        noticed: u64,
    },
    /// There is no value, according to the loader of a batch, or to L2 if no caller loads.
    Absent,
    Failed(Arc<dyn Any + Send + Sync>),
    Panicked,
    Aborted,
    /// It exceeded its limit.
    CutOff,
    /// It got no permit among the concurrent loads.
    Refused,
}

impl Outcome {
    /// Whether it may be from before a change, given the number of notices of changes.
    pub fn is_older_than(&self, heard: u64) -> bool {
        match self {
            Self::Loaded { noticed, .. } => *noticed < heard,
            Self::Absent => heard > 0,
            _ => false,
        }
    }
}

/// A load in progress. It runs in a task of its own. Callers only wait, and may leave. The first
/// caller may query L2 before that task exists, as long as no other caller waits.
#[derive(Debug)]
pub struct Flight {
    kind: Kind,
    /// The class that it fills, which may differ from the classes of the waiting callers.
    pub class: ClassId,
    /// Its start in the order of invalidations.
    pub since: Generation,
    outcome: OnceLock<Outcome>,
    /// A stale value for the waiting callers, unless a better one comes in time.
    fallback: Mutex<Option<Outcome>>,
    ended: Notify,
    /// Its deadline, and the handle to stop it.
    limit: OnceLock<(Duration, AbortHandle)>,
    was_cut_off: AtomicBool,
    /// Whether it may run without a permit of its own.
    is_exempt: AtomicBool,
    exempted: Notify,
    /// The loads that its loader waits for.
    awaits: Mutex<Vec<Arc<Flight>>>,
    /// Responsible caller while the load has no task.
    duty: Duty,
    /// Its query to L2, and the notices from there.
    pub inquiry: Inquiry,
}

impl Flight {
    pub fn new(kind: Kind, class: ClassId, since: Generation) -> Arc<Self> {
        Arc::new(Self {
            kind,
            class,
            since,
            outcome: OnceLock::new(),
            fallback: Mutex::default(),
            ended: Notify::new(),
            limit: OnceLock::new(),
            was_cut_off: AtomicBool::new(false),
            is_exempt: AtomicBool::new(false),
            exempted: Notify::new(),
            awaits: Mutex::default(),
            duty: Duty::default(),
            inquiry: Inquiry::default(),
        })
    }

    /// Lets the first caller query L2. If another one waits, calls `go_on` and returns `false`.
    pub fn lead(&self, go_on: GoOn) -> bool {
        self.duty.lead(go_on)
    }

    /// Takes the duty to have the load made, for a caller that leads or waits. It is given once.
    pub fn take_duty(&self) -> Option<GoOn> {
        self.duty.take()
    }

    /// Bounds the load: from `overdue_at` on it must be stopped.
    pub fn bound(&self, overdue_at: Duration, abort: AbortHandle) {
        // Bounded once, when its task is created.
        let _ = self.limit.set((overdue_at, abort));
    }

    /// Ends it for all waiting callers.
    fn cut_off(&self) {
        self.fall_back();
        self.was_cut_off.store(true, Ordering::SeqCst);
        self.end(Outcome::CutOff);
    }

    /// Stops its task, if possible.
    fn stop(&self) {
        if let Some((_, abort)) = self.limit.get() {
            abort.abort();
        }
    }

    pub fn was_cut_off(&self) -> bool {
        self.was_cut_off.load(Ordering::SeqCst)
    }

    /// Lets it run without a permit of its own, because a load with a permit waits for it.
    pub(crate) fn exempt(&self) {
        self.is_exempt.store(true, Ordering::SeqCst);
        // Kept for a task that does not listen yet.
        self.exempted.notify_one();
    }

    pub(crate) fn is_exempt(&self) -> bool {
        self.is_exempt.load(Ordering::SeqCst)
    }

    /// Waits until it is exempt.
    pub(crate) async fn exempted(&self) {
        while !self.is_exempt() {
            self.exempted.notified().await;
        }
    }

    pub(crate) fn awaits(&self) -> MutexGuard<'_, Vec<Arc<Self>>> {
        self.awaits.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Remembers a stale value that is better than none.
    pub(crate) fn has_fallback(&self, outcome: Outcome) {
        *self.fallback() = Some(outcome);
    }

    /// Gives up its stale value.
    pub(crate) fn forget_fallback(&self) {
        let outdated = self.fallback().take();
        drop(outdated); // here, not under the lock
    }

    /// Returns the stale value that no caller has received yet.
    fn fallback_slot(&self) -> Option<Slot> {
        match &*self.fallback() {
            Some(Outcome::Loaded { slot, .. }) => Some(slot.clone()),
            _ => None,
        }
    }

    fn fallback(&self) -> MutexGuard<'_, Option<Outcome>> {
        self.fallback.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives a stale value, if any, to all waiters without an outcome. The load continues.
    pub fn fall_back(&self) {
        let outcome = self.fallback().take();
        if let Some(outcome) = outcome {
            self.end(outcome);
        }
    }

    /// Whether its outcome is outdated: it carries a tag that was invalidated since the load
    /// started, or it may be older than a change of the key that was noticed since.
    fn is_overtaken(&self) -> bool {
        let Some(outcome) = self.outcome.get() else { return false };
        let is_by_tag = matches!(outcome, Outcome::Loaded { slot, .. } if !slot.stamps.admit(self.since));
        is_by_tag || outcome.is_older_than(self.inquiry.noticed())
    }

    /// Publishes the outcome and wakes all waiting callers. Only the first call counts.
    pub fn end(&self, outcome: Outcome) {
        // Fails only if there is an outcome already.
        let _ = self.outcome.set(outcome);
        self.ended.notify_waiters();
    }

    /// Waits for the outcome, if there is none yet.
    pub async fn outcome(&self) -> &Outcome {
        // The caller that loaded the value itself need not listen.
        if let Some(outcome) = self.outcome.get() {
            return outcome;
        }
        loop {
            let mut ended = pin!(self.ended.notified());
            // Listen first, check second: an end between the two is not missed.
            ended.as_mut().enable();
            if let Some(outcome) = self.outcome.get() {
                return outcome;
            }
            ended.await;
        }
    }
}
