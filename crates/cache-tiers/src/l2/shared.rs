//! The tier with its debts and counts.

use std::error::Error;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use super::debts::Debts;
use super::entry::EntryId;
use super::patience::Patience;
use super::tier::RedisTier;
use crate::class::Class;
use crate::codec::CodecError;
use crate::event::{Event, Observer, notify};
use crate::key::Key;
use crate::stats::TierStats;
use tidegate_clock::Clock;

/// The tier's name in statistics and events.
pub(crate) const NAME: &str = "l2";

#[derive(Default)]
pub(super) struct Counts {
    pub(super) hits: AtomicU64,
    pub(super) misses: AtomicU64,
    /// Hits among them that a replica answered.
    pub(super) from_replicas: AtomicU64,
    pub(super) errors: AtomicU64,
    pub(super) codec_errors: AtomicU64,
}

/// The tier with its debts and counts.
pub struct L2 {
    pub(super) tier: RedisTier,
    pub(super) debts: Debts,
    pub(super) counts: Counts,
    /// Whether every primary is followed, while that is tried.
    following: Mutex<Option<watch::Receiver<bool>>>,
    pub(super) clock: Clock,
    pub(super) observer: Option<Arc<dyn Observer>>,
}

/// State that L1 keeps of a value that L2 has too, or should have.
#[derive(Debug, Clone, Copy)]
pub struct Mark {
    /// `None` if L2 could not be reached.
    pub id: Option<EntryId>,
    pub left: Duration,
    /// Number of notices of the key that the flight had received when this was true.
    pub noticed: u64,
}

impl Mark {
    /// Number of notices that the flight had received when the value was known to be the one of the
    /// key. Zero without a mark, as for a value that goes to L1 alone.
    pub fn noticed(mark: Option<Self>) -> u64 {
        mark.map_or(0, |mark| mark.noticed)
    }
}

impl L2 {
    pub(crate) fn new(tier: RedisTier, clock: Clock, observer: Option<Arc<dyn Observer>>) -> Arc<Self> {
        Arc::new(Self {
            tier,
            debts: Debts::default(),
            counts: Counts::default(),
            following: Mutex::default(),
            clock,
            observer,
        })
    }

    /// Returns the total time that one read may spend on L2.
    pub fn patience(&self) -> Patience {
        Patience::new(self.tier.patience)
    }

    pub fn owed(&self) -> u64 {
        self.debts.count()
    }

    pub(crate) fn stats(&self) -> TierStats {
        let count = |count: &AtomicU64| count.load(Ordering::Relaxed);
        TierStats {
            tier: NAME,
            entries: None,
            capacity: None,
            weight: None,
            hits: count(&self.counts.hits),
            misses: count(&self.counts.misses),
            from_replicas: count(&self.counts.from_replicas),
            evictions: None,
            errors: count(&self.counts.errors),
            codec_errors: count(&self.counts.codec_errors),
            owed: self.owed(),
            is_followed: self.following().as_ref().is_some_and(|heard| heard.has_changed().is_ok() && *heard.borrow()),
            is_available: self.tier.client.availability().is_available(),
        }
    }

    /// Whether this process receives notices. After a gap, everything counts as changed.
    pub(super) fn is_following(&self) -> bool {
        let mut following = self.following();
        let Some(complete) = following.as_mut() else { return false };
        // The listener has ended, perhaps with its runtime.
        let Ok(has_changed) = complete.has_changed() else { return false };
        if has_changed {
            self.tier.changes_everything();
            self.tier.recall.drop_all();
        }
        *complete.borrow_and_update()
    }

    pub(super) fn follows(&self, complete: Option<watch::Receiver<bool>>) {
        *self.following() = complete;
    }

    fn following(&self) -> MutexGuard<'_, Option<watch::Receiver<bool>>> {
        self.following.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn failed(&self, operation: &'static str, error: &(dyn Error + 'static)) {
        self.counts.errors.fetch_add(1, Ordering::Relaxed);
        self.notify(&Event::TierFailed { tier: NAME, operation, error });
    }

    pub fn codec_failed(&self, class: &Class, key: &Key, error: &CodecError) {
        self.counts.codec_errors.fetch_add(1, Ordering::Relaxed);
        self.notify(&Event::CodecFailed { class: class.ttl.name(), key, error });
    }

    pub(super) fn notify(&self, event: &Event<'_>) {
        if let Some(observer) = &self.observer {
            notify(&**observer, event);
        }
    }
}
