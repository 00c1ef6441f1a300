//! L2 as the cache uses it: asked within a read's patience, told of invalidations, never believed while it owes some.

mod absent;
mod batch;
mod debts;
mod entry;
mod fill_many;
mod follow;
mod names;
mod patience;
mod pattern;
#[cfg(feature = "sessions")]
mod put_unless;
mod scripts;
mod seek_many;
mod steps;
mod ticket;
mod tier;
mod way;

use std::error::Error;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

pub(crate) use debts::Debt;
use entry::Entry;
pub(crate) use entry::EntryId;
pub(crate) use fill_many::Tickets;
pub(crate) use follow::{follow, recheck};
pub(crate) use patience::Patience;
#[cfg(feature = "sessions")]
pub(crate) use put_unless::Untold;
pub(crate) use seek_many::News;
pub(crate) use ticket::Ticket;
pub use tier::RedisTier;

use crate::class::Class;
use crate::clock::Clock;
use crate::codec::{Codec, CodecError, Format};
use crate::event::{Event, LookupOutcome, Observer, tell};
use crate::fill::Fill;
use crate::flight::Flight;
use crate::key::Key;
use crate::stats::TierStats;
use crate::ttl::TtlClass;
use debts::Debts;
pub(crate) use tier::New;
use tier::{Filled, Looked};

/// The tier's name in statistics and events.
pub(crate) const NAME: &str = "l2";

/// First and longest pause between two looks while another process loads.
const PAUSES: (Duration, Duration) = (Duration::from_millis(5), Duration::from_millis(50));

/// The most that Redis keeps an entry, grace included: the epoch outlives it.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// How often a value that was noticed to have changed is compared again, before L1 goes without it.
const CONFIRMATIONS: usize = 3;

#[derive(Default)]
struct Counts {
    hits: AtomicU64,
    misses: AtomicU64,
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

/// What L2 had.
pub(crate) enum Sought<V> {
    Found {
        fill: Fill<V>,
        mark: Option<Mark>,
    },
    /// Only a value past its lifetime, in its grace.
    Stale(Past<V>),
    /// Nothing; with a ticket to fill, unless L2 could not be asked.
    Absent(Option<Ticket>),
}

/// A value that L2 holds past its lifetime.
pub(crate) struct Past<V> {
    pub(crate) fill: Fill<V>,
    pub(crate) id: EntryId,
    /// For how much longer it may be served.
    pub(crate) left: Duration,
    /// Notices of the key that the flight had had when this was true.
    pub(crate) noticed: u64,
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

    /// Asks L2, and waits a while for another process that is loading the key.
    pub(crate) async fn seek<V: 'static>(
        self: &Arc<Self>,
        key: &Key,
        class: &Class,
        codec: &dyn Codec<V>,
        flight: &Flight,
        patience: &mut Patience,
    ) -> Sought<V> {
        // Its values may be older than an invalidation that it hasn't heard of.
        if self.owes() {
            return Sought::Absent(None);
        }
        let started = self.clock.precise();
        let past = flight.past();
        let sought = self.seek_until_known(key, class, codec, flight, (past, true), patience).await;
        let latency = Some(self.clock.precise().saturating_sub(started));
        let (count, outcome) = match &sought {
            Sought::Found { .. } => (&self.counts.hits, LookupOutcome::Hit),
            Sought::Stale(_) => (&self.counts.hits, LookupOutcome::Stale),
            Sought::Absent(_) => (&self.counts.misses, LookupOutcome::Miss),
        };
        count.fetch_add(1, Ordering::Relaxed);
        self.notify(&Event::Lookup { class: class.ttl.name(), tier: NAME, outcome, latency });
        sought
    }

    /// Asks L2 again, for something newer than this stale entry or the right to load it. Not counted: it is one read.
    pub(crate) async fn seek_newer<V: 'static>(
        self: &Arc<Self>,
        key: &Key,
        class: &Class,
        codec: &dyn Codec<V>,
        flight: &Flight,
        past: EntryId,
        patience: &mut Patience,
    ) -> Sought<V> {
        self.seek_until_known(key, class, codec, flight, (Some(past), false), patience).await
    }

    /// `past` is an entry that is not wanted any more; then whether a stale one is.
    async fn seek_until_known<V: 'static>(
        self: &Arc<Self>,
        key: &Key,
        class: &Class,
        codec: &dyn Codec<V>,
        flight: &Flight,
        (past, may_be_stale): (Option<EntryId>, bool),
        patience: &mut Patience,
    ) -> Sought<V> {
        let give_up = Instant::now() + if flight.is_alone() { Duration::ZERO } else { self.tier.wait };
        let (mut pause, longest) = PAUSES;
        let mut reject = past.map(|id| Bytes::copy_from_slice(&id.head()));
        let fence = loop {
            let noticed = flight.noticed();
            let looked = match patience.spend(self.tier.look(key, class.ttl.name(), reject.as_ref())).await {
                Ok(looked) => looked,
                Err(error) => {
                    self.failed("look", &error);
                    return Sought::Absent(None);
                }
            };
            match looked {
                Looked::Stale { entry, .. } if !may_be_stale => {
                    reject = Some(Bytes::copy_from_slice(&entry.id.head()));
                }
                Looked::Stale { entry, left } => {
                    let id = entry.id;
                    reject = Some(Bytes::copy_from_slice(&id.head()));
                    match unpack(codec, entry) {
                        Ok(fill) => {
                            if let Some(noticed) = self.confirm(key, id, flight, noticed, patience).await {
                                return Sought::Stale(Past { fill, id, left, noticed });
                            }
                        }
                        Err(error) => self.codec_failed(class, key, &error),
                    }
                }
                Looked::Found { entry, fresh_for } => {
                    let id = entry.id;
                    match unpack(codec, entry) {
                        Ok(fill) => {
                            let noticed = self.confirm(key, id, flight, noticed, patience).await;
                            let mark = noticed.map(|noticed| Mark { id: Some(id), left: fresh_for, noticed });
                            return Sought::Found { fill, mark };
                        }
                        Err(error) => {
                            self.codec_failed(class, key, &error);
                            reject = Some(Bytes::copy_from_slice(&id.head()));
                        }
                    }
                }
                Looked::Invalid { head } => reject = Some(head),
                Looked::Unreadable { head, error } => {
                    self.codec_failed(class, key, &error);
                    reject = Some(head);
                }
                Looked::Fenced { fence, is_first } if is_first || Instant::now() >= give_up => break fence,
                Looked::Fenced { .. } => {
                    sleep(pause).await;
                    pause = (pause * 2).min(longest);
                }
            }
        };
        match patience.spend(self.tier.open_epoch()).await {
            Ok(epoch) => Sought::Absent(Some(Ticket::new(self, key, fence, epoch))),
            Err(error) => {
                self.failed("epoch", &error);
                Sought::Absent(None)
            }
        }
    }

    /// The right to fill what a write that has not begun yet will leave: it ends when anything else changes the key.
    pub(crate) async fn fence(self: &Arc<Self>, key: &Key, patience: &mut Patience) -> Option<Ticket> {
        if self.owes() {
            return None;
        }
        let taken =
            async { Ok::<_, tidegate_redis::Error>((self.tier.take_part(key).await?, self.tier.open_epoch().await?)) };
        match patience.spend(taken).await {
            Ok((fence, epoch)) => Some(Ticket::new(self, key, fence, epoch)),
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
        let owing = self.debts.owing(self, vec![Debt::Key(key.clone())]);
        let done = match new {
            Some(new) if !self.owes() => self.patience().spend(self.tier.put(key, new)).await,
            _ => self.patience().spend(async { Ok(self.tier.forget(key).await?) }).await,
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
        let ttl = fresh.saturating_add(class.grace_period()).min(LONGEST.max(fresh));
        let (id, grace) = (self.tier.next_id(), ttl - fresh);
        Ok(New { id, class: *class, tags: fill.tags.clone(), ttl, grace, codec: Format::of(codec), value })
    }

    /// Whether L2 still holds this entry, where a notice says that it may have changed; with the notices seen by then.
    ///
    /// This process's own fill is noticed as well, since scripts are: right after the reply.
    async fn confirm(
        &self,
        key: &Key,
        id: EntryId,
        flight: &Flight,
        mut noticed: u64,
        patience: &mut Patience,
    ) -> Option<u64> {
        for _ in 0..CONFIRMATIONS {
            let now = flight.noticed();
            if now == noticed {
                return Some(noticed);
            }
            noticed = now;
            if !matches!(patience.spend(self.tier.holds(key, id)).await, Ok(true)) {
                return None;
            }
        }
        None
    }

    /// Invalidates in L2. What could not be told, or was cancelled, is kept and told later.
    pub(crate) async fn invalidate(self: &Arc<Self>, debts: Vec<Debt>) -> Result<(), Box<dyn Error + Send + Sync>> {
        if debts.is_empty() {
            return Ok(());
        }
        let owing = self.debts.owing(self, debts);
        match debts::pay(&self.tier, owing.debts()).await {
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
            evictions: None,
            errors: count(&self.counts.errors),
            codec_errors: count(&self.counts.codec_errors),
            owed: self.owed(),
            is_followed: self.following().as_ref().is_some_and(|complete| *complete.borrow()),
            is_available: self.tier.client.availability().is_available(),
        }
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

/// The value of an entry, with the tags that it carries.
fn unpack<V: 'static>(codec: &dyn Codec<V>, entry: Entry) -> Result<Fill<V>, CodecError> {
    let value = decode(codec, entry.codec, &entry.value)?;
    Ok(Fill::new(value).tags(entry.tags.into_iter().map(|(tag, _)| tag)))
}

fn decode<V: 'static>(codec: &dyn Codec<V>, found: Format, bytes: &[u8]) -> Result<V, CodecError> {
    let (expected, length, limit) = (Format::of(codec), bytes.len(), codec.limit());
    if found.form != expected.form {
        return Err(CodecError::Form { found: found.form, expected: expected.form });
    }
    if found.version != expected.version {
        return Err(CodecError::Version { found: found.version, expected: expected.version });
    }
    if length > limit {
        return Err(CodecError::TooBig { length, limit });
    }
    codec.decode(bytes)
}
