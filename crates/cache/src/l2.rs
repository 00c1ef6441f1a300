//! L2 as the cache uses it: asked within a read's patience, told of invalidations, never believed while it owes some.

mod absent;
mod batch;
mod bound;
mod debts;
mod entry;
mod epoch;
mod expire;
mod fill_many;
mod follow;
mod forget;
mod glance;
mod glance_many;
mod lately;
mod lease;
mod look;
mod names;
mod patience;
mod pattern;
#[cfg(feature = "sessions")]
mod put_unless;
mod recall;
mod replicas;
mod scripts;
mod seek;
mod seek_many;
mod steps;
mod ticket;
mod tier;
mod way;

use std::error::Error;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

pub(crate) use debts::Debt;
pub(crate) use entry::EntryId;
pub(crate) use fill_many::Tickets;
pub(crate) use follow::{follow, recheck};
pub(crate) use glance::Glance;
pub(crate) use patience::Patience;
#[cfg(feature = "sessions")]
pub(crate) use put_unless::Untold;
pub(crate) use seek::{Past, Sought};
pub(crate) use seek_many::News;
pub(crate) use ticket::Ticket;
pub use tier::RedisTier;

use crate::class::Class;
use crate::clock::Clock;
use crate::codec::{Codec, CodecError, Format};
use crate::event::{Event, Observer, tell};
use crate::fill::Fill;
use crate::flight::Flight;
use crate::key::Key;
use crate::stats::TierStats;
use crate::ttl::TtlClass;
use debts::Debts;
use tier::Filled;
pub(crate) use tier::New;

/// The tier's name in statistics and events.
pub(crate) const NAME: &str = "l2";

/// The most that Redis keeps an entry, grace included: the epoch outlives it.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 60 * 60);

#[derive(Default)]
struct Counts {
    hits: AtomicU64,
    misses: AtomicU64,
    /// Hits among them that a replica answered.
    from_replicas: AtomicU64,
    errors: AtomicU64,
    codec_errors: AtomicU64,
}

/// The tier with its debts and counts.
pub(crate) struct L2 {
    tier: RedisTier,
    debts: Debts,
    counts: Counts,
    /// Whether every primary is followed, while that is tried.
    following: Mutex<Option<watch::Receiver<bool>>>,
    clock: Arc<dyn Clock>,
    observer: Option<Arc<dyn Observer>>,
}

/// What L1 must know of a value that lies in L2 too, or should.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Mark {
    /// None when L2 could not be told.
    pub(crate) id: Option<EntryId>,
    pub(crate) left: Duration,
    /// Notices of the key that the flight had had when this was true.
    pub(crate) noticed: u64,
}

impl Mark {
    /// The notices that the flight had had when the value was known to be what the key holds: none where there is no mark, as for a
    /// value that goes to L1 alone.
    pub(crate) fn noticed(mark: Option<Self>) -> u64 {
        mark.map_or(0, |mark| mark.noticed)
    }
}

impl L2 {
    pub(crate) fn new(tier: RedisTier, clock: Arc<dyn Clock>, observer: Option<Arc<dyn Observer>>) -> Arc<Self> {
        Arc::new(Self {
            tier,
            debts: Debts::default(),
            counts: Counts::default(),
            following: Mutex::default(),
            clock,
            observer,
        })
    }

    /// What one read may spend on L2 in all.
    pub(crate) fn patience(&self) -> Patience {
        Patience::new(self.tier.patience)
    }

    /// The right to fill what a write that has not begun yet will leave: it ends when anything else changes the key.
    pub(crate) async fn fence(self: &Arc<Self>, key: &Key, patience: &mut Patience) -> Option<Ticket> {
        if self.owes() {
            return None;
        }
        let taken =
            async { Ok::<_, tidegate_redis::Error>((self.tier.take_part(key).await?, self.tier.open_epoch().await?)) };
        match patience.spend(taken).await {
            Ok((fence, epoch)) => Some(Ticket::new(self, key, fence, epoch, None)),
            Err(error) => {
                self.failed("fence", &error);
                None
            }
        }
    }

    /// Stores what the load brought; none when L1 must not keep it either. `began` are the notices that the flight had had when
    /// the loader was called: where L2 is not told, nothing else says whether the value is older than a change.
    pub(crate) async fn fill<V: 'static>(
        self: &Arc<Self>,
        ticket: Option<Ticket>,
        class: &Class,
        codec: &dyn Codec<V>,
        fill: &Fill<V>,
        (flight, began): (&Flight, u64),
        patience: &mut Patience,
    ) -> Option<Mark> {
        let left = class.ttl.in_l2(fill.ttl);
        let alone = Some(Mark { id: None, left, noticed: began });
        let Some(ticket) = ticket.filter(|_| !self.owes()) else { return alone };
        let mut noticed = flight.noticed();
        let new = match self.pack(&class.ttl, codec, fill) {
            Ok(new) => new,
            Err(error) => {
                self.codec_failed(class, ticket.key(), &error);
                return match patience.spend(ticket.give_up()).await {
                    Ok(false) => None,
                    _ => alone,
                };
            }
        };
        let key = ticket.key().clone();
        match patience.spend(ticket.fill(new)).await {
            Ok(Filled::Stored(id)) => {
                noticed = self.confirm(&key, id, flight, noticed, patience).await?;
                Some(Mark { id: Some(id), left, noticed })
            }
            Ok(Filled::Refused) => None,
            Err(error) => {
                self.failed("fill", &error);
                // What can be known here says that it is good: so L1 serves on, for its capped time.
                alone
            }
        }
    }

    /// Tells the other processes, where Redis does not, that a fill changed the key; whether they were told.
    ///
    /// A load's fill needs none: what they hold is as good as before.
    pub(crate) async fn tell(&self, key: &Key, patience: &mut Patience) -> bool {
        match patience.spend(self.tier.ways.tell(&self.tier.names.value(key))).await {
            Ok(()) => true,
            Err(error) => {
                self.failed("tell", &error);
                false
            }
        }
    }

    /// Stores what a caller brought, if L1 accepted it. Otherwise, and when it can't be stored, whatever was there is
    /// invalidated instead, at once or as soon as it can.
    /// Tells whether L2 could be told at once.
    pub(crate) async fn put(self: &Arc<Self>, key: &Key, new: Option<New>) -> bool {
        let mut patience = self.patience();
        let left = patience.left();
        let owing = self.debts.owing(self, vec![Debt::Key(key.clone())]).again_after(left);
        let done = match new {
            Some(new) if !self.owes() => patience.spend(self.tier.put(key, new, left)).await,
            _ => patience.spend(async { Ok(self.tier.forget(key).await?) }).await,
        };
        match done {
            Ok(()) => {
                owing.settled();
                true
            }
            Err(error) => {
                self.failed("put", &error);
                false
            }
        }
    }

    /// What is to be stored, as bytes.
    pub(crate) fn pack<V: 'static>(
        &self,
        class: &TtlClass,
        codec: &dyn Codec<V>,
        fill: &Fill<V>,
    ) -> Result<New, CodecError> {
        let value = codec.encode_shared(&fill.value)?;
        let (length, limit) = (value.len(), codec.limit());
        if length > limit {
            return Err(CodecError::TooBig { length, limit });
        }
        let fresh = class.in_l2(fill.ttl);
        let ttl = fresh.saturating_add(class.grace_of(fill.is_negative, fill.ttl)).min(LONGEST.max(fresh));
        let (id, grace) = (self.tier.next_id(), ttl - fresh);
        Ok(New { id, class: *class, tags: fill.tags.clone(), ttl, grace, codec: Format::of(codec), value })
    }

    /// Invalidates in L2. What could not be told, or was cancelled, is kept and told later.
    pub(crate) async fn invalidate(self: &Arc<Self>, debts: Vec<Debt>) -> Result<(), Box<dyn Error + Send + Sync>> {
        if debts.is_empty() {
            return Ok(());
        }
        let owing = self.debts.owing(self, debts);
        match debts::settle(self, "invalidate", owing.debts()).await {
            Ok(()) => {
                owing.settled();
                Ok(())
            }
            Err(error) => {
                self.failed("invalidate", &error);
                Err(error.into())
            }
        }
    }

    /// Whether invalidations wait to be told. Then L2 is not read.
    fn owes(self: &Arc<Self>) -> bool {
        self.debts.any(self)
    }

    pub(crate) fn owed(&self) -> u64 {
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

    /// Whether changes by others are heard of. If they were not for a while, everything counts as changed.
    fn is_following(&self) -> bool {
        let mut following = self.following();
        let Some(complete) = following.as_mut() else { return false };
        // Whoever heard is gone, with its runtime perhaps.
        let Ok(has_changed) = complete.has_changed() else { return false };
        if has_changed {
            self.tier.changes_everything();
            self.tier.recall.drop_all();
        }
        *complete.borrow_and_update()
    }

    fn follows(&self, complete: Option<watch::Receiver<bool>>) {
        *self.following() = complete;
    }

    fn following(&self) -> MutexGuard<'_, Option<watch::Receiver<bool>>> {
        self.following.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn failed(&self, operation: &'static str, error: &(dyn Error + 'static)) {
        self.counts.errors.fetch_add(1, Ordering::Relaxed);
        self.notify(&Event::TierFailed { tier: NAME, operation, error });
    }

    pub(crate) fn codec_failed(&self, class: &Class, key: &Key, error: &CodecError) {
        self.counts.codec_errors.fetch_add(1, Ordering::Relaxed);
        self.notify(&Event::CodecFailed { class: class.ttl.name(), key, error });
    }

    fn notify(&self, event: &Event<'_>) {
        if let Some(observer) = &self.observer {
            tell(&**observer, event);
        }
    }
}
