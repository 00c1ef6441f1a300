//! Query of L2 for one key: a value, the right to load it, or a wait for another caller's load.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use super::entry::EntryId;
use super::glance::Glance;
use super::lease::Waiting;
use super::look::Looked;
use super::patience::Patience;
use super::shared::{L2, Mark, NAME};
use super::ticket::Ticket;
use super::unpack::unpack;
use crate::class::{Class, Count};
use crate::codec::Codec;
use crate::event::{Event, LookupOutcome};
use crate::fill::Fill;
use crate::inquiry::Inquiry;
use crate::key::Key;

/// Maximum number of comparisons of a changed value, before L1 does without it.
pub(super) const CONFIRMATIONS: usize = 3;

/// Result of a query of L2.
pub(crate) enum Sought<V> {
    Found {
        fill: Fill<V>,
        mark: Option<Mark>,
    },
    /// Only a value past its lifetime, within its grace.
    Stale(Past<V>),
    /// No value; with a ticket to fill, unless L2 could not be queried.
    Absent(Option<Ticket>),
}

/// A value that L2 holds past its lifetime.
pub struct Past<V> {
    pub(crate) fill: Fill<V>,
    pub(crate) id: EntryId,
    /// Time for which it may still be served.
    pub(crate) left: Duration,
    /// Number of notices of the key that the flight had received when this was true.
    pub(crate) noticed: u64,
}

impl L2 {
    /// Queries L2, and waits a while for another process that loads the key. `has_glanced` is
    /// whether a plain `GET` found nothing before.
    pub(crate) async fn seek<V: 'static>(
        self: &Arc<Self>,
        key: &Key,
        class: &Class,
        codec: &dyn Codec<V>,
        inquiry: &Inquiry,
        has_glanced: bool,
        patience: &mut Patience,
    ) -> Sought<V> {
        // Its values may be older than an invalidation that it has not processed.
        if self.owes() {
            return Sought::Absent(None);
        }
        let started = self.clock.now();
        let past = inquiry.past();
        // A value to be replaced needs a fence, not a glance.
        let glance = if has_glanced || past.is_some() || !self.may_glance() {
            None
        } else {
            let begun = Instant::now();
            // Charged once, by the clock.
            let found = self.seek_at_a_glance(key, codec, inquiry, &mut patience.clone()).await;
            patience.charge(begun.elapsed());
            found
        };
        let sought = match glance {
            Some(Glance { fill, mark }) => Sought::Found { fill, mark },
            None => self.seek_until_known(key, class, codec, inquiry, (past, true), patience).await,
        };
        let outcome = match &sought {
            Sought::Found { .. } => LookupOutcome::Hit,
            Sought::Stale(_) => LookupOutcome::Stale,
            Sought::Absent(_) => LookupOutcome::Miss,
        };
        self.looked(class, outcome, started);
        sought
    }

    /// Counts a query and reports it.
    pub(super) fn looked(&self, class: &Class, outcome: LookupOutcome, started: Duration) {
        let is_miss = outcome == LookupOutcome::Miss;
        let count = if is_miss { &self.counts.misses } else { &self.counts.hits };
        count.fetch_add(1, Ordering::Relaxed);
        if !is_miss {
            class.counters.add(Count::SharedHit);
        }
        if self.observer.is_some() {
            let latency = Some(self.clock.now().saturating_sub(started));
            self.notify(&Event::Lookup { class: class.ttl.name(), tier: NAME, outcome, latency });
        }
    }

    /// Queries L2 again, for an entry newer than this stale one or for the right to load it. It is
    /// not counted, because it belongs to the same read.
    pub(crate) async fn seek_newer<V: 'static>(
        self: &Arc<Self>,
        key: &Key,
        class: &Class,
        codec: &dyn Codec<V>,
        inquiry: &Inquiry,
        past: EntryId,
        patience: &mut Patience,
    ) -> Sought<V> {
        self.seek_until_known(key, class, codec, inquiry, (Some(past), false), patience).await
    }

    /// `past` is an entry that must be replaced, with whether a stale one is accepted.
    async fn seek_until_known<V: 'static>(
        self: &Arc<Self>,
        key: &Key,
        class: &Class,
        codec: &dyn Codec<V>,
        inquiry: &Inquiry,
        (past, may_be_stale): (Option<EntryId>, bool),
        patience: &mut Patience,
    ) -> Sought<V> {
        if past.is_none()
            && let Some(found) = self.seek_at_replica(key, class, codec, inquiry, patience).await
        {
            return found;
        }
        // A class without a lifetime leaves nothing in L2, so a wait would spare no load.
        let goes_alone = inquiry.is_alone.load(Ordering::SeqCst) || class.ttl.ttl().is_zero();
        let waiting = Waiting::new(if goes_alone { Duration::ZERO } else { self.wait_of(class) });
        let mut reject = past.map(|id| Bytes::copy_from_slice(&id.head()));
        let fence = loop {
            let (noticed, before) = (inquiry.noticed(), patience.clone());
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
                            if let Some(noticed) = self.confirm(key, id, inquiry, noticed, patience).await {
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
                            let noticed = self.confirm(key, id, inquiry, noticed, patience).await;
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
                Looked::Fenced { fence, is_first } if is_first || waiting.is_over(self.tier.is_own(&fence)) => {
                    break fence;
                }
                Looked::Fenced { .. } => {
                    // Redis replied in time. The wait is for the other load.
                    *patience = before;
                    waiting.pause().await;
                }
            }
        };
        match patience.spend(self.tier.open_epoch()).await {
            Ok(epoch) => Sought::Absent(Some(Ticket::new(self, key, fence, epoch, reject))),
            Err(error) => {
                self.failed("epoch", &error);
                Sought::Absent(None)
            }
        }
    }

    /// Returns the value of a replica. `None` if the primary must be queried.
    async fn seek_at_replica<V: 'static>(
        &self,
        key: &Key,
        class: &Class,
        codec: &dyn Codec<V>,
        inquiry: &Inquiry,
        patience: &mut Patience,
    ) -> Option<Sought<V>> {
        let noticed = inquiry.noticed();
        let Looked::Found { entry, fresh_for: left } =
            self.found_at_replicas(&[key], class.ttl.name(), patience).await.pop()??
        else {
            return None;
        };
        let id = entry.id;
        let fill = unpack(codec, entry).ok()?;
        // Keys with notices meanwhile are queried on the primary, and so are their replacements.
        let noticed = self.confirm(key, id, inquiry, noticed, patience).await?;
        self.counts.from_replicas.fetch_add(1, Ordering::Relaxed);
        Some(Sought::Found { fill, mark: Some(Mark { id: Some(id), left, noticed }) })
    }

    /// Checks whether L2 still holds this entry after a notice that it may have changed. Returns
    /// the number of notices seen by then, or `None`.
    ///
    /// This process's own fill is noticed as well, since scripts are: right after the reply.
    pub(super) async fn confirm(
        &self,
        key: &Key,
        id: EntryId,
        inquiry: &Inquiry,
        mut noticed: u64,
        patience: &mut Patience,
    ) -> Option<u64> {
        for _ in 0..CONFIRMATIONS {
            let now = inquiry.noticed();
            if now == noticed {
                return Some(noticed);
            }
            noticed = now;
            if !matches!(patience.spend(self.tier.holds(key, id, None)).await, Ok(true)) {
                return None;
            }
        }
        None
    }
}
