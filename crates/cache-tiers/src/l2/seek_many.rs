//! Query of L2 for many keys at once.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;

use super::batch::Look;
use super::entry::EntryId;
use super::lease::Waiting;
use super::look::Looked;
use super::patience::Patience;
use super::seek::{CONFIRMATIONS, Past};
use super::shared::{L2, Mark, NAME};
use super::ticket::Fenced;
use super::tickets::Tickets;
use super::unpack::unpack;
use crate::class::{Class, Count};
use crate::codec::Codec;
use crate::event::{Event, LookupOutcome};
use crate::fill::Fill;
use crate::inquiry::Inquiry;
use crate::key::Key;

/// Number of keys for which a batch may wait as long as a single read.
const KEYS_A_PATIENCE: usize = 1000;

/// A key of a batch, and its notices.
pub(crate) type Wanted<'a> = (&'a Key, &'a Inquiry);

/// Result of L2 for one key of a batch.
pub enum News<V> {
    /// A value, and the state that L1 must keep of it; `None` if L1 must not keep it.
    Found(Fill<V>, Option<Mark>),
    /// Only a value past its lifetime: another result may follow.
    Stale(Past<V>),
}

/// Callback that receives each result.
type Found<'a, V> = &'a mut (dyn FnMut(usize, News<V>) + Send);

/// A key that is not known yet.
struct Open {
    index: usize,
    reject: Option<Bytes>,
    may_be_stale: bool,
}

/// An entry that was found and decoded, but may have changed since.
struct Candidate<V> {
    index: usize,
    fill: Fill<V>,
    id: EntryId,
    left: Duration,
    is_stale: bool,
    noticed: u64,
}

impl L2 {
    /// Returns the total time that a batch of this size may spend on L2.
    pub fn patience_for(&self, keys: usize) -> Patience {
        let steps = u32::try_from(keys.div_ceil(KEYS_A_PATIENCE).max(1)).unwrap_or(u32::MAX);
        Patience::new(self.tier.patience.saturating_mul(steps))
    }

    /// Queries L2 for all keys, and passes each value to `found` with its index as soon as it is
    /// known. With `will_load` it takes part in the loads of the others, and returns the right to
    /// fill them.
    ///
    /// It waits for loads of other processes only while it has none of its own to run. So two
    /// batches never wait for each other.
    pub async fn seek_many<V: 'static>(
        self: &Arc<Self>,
        wanted: &[Wanted<'_>],
        class: &Class,
        codec: &dyn Codec<V>,
        will_load: bool,
        patience: &mut Patience,
        mut found: impl FnMut(usize, News<V>) + Send,
    ) -> Option<Tickets> {
        // Its values may be older than an invalidation that it has not processed.
        if wanted.is_empty() || self.owes() {
            return None;
        }
        let started = self.clock.now();
        let mut outcomes = vec![LookupOutcome::Miss; wanted.len()];
        let mut hand_over = |index: usize, news: News<V>| {
            outcomes[index] = match (&news, outcomes[index]) {
                (News::Found(..), LookupOutcome::Miss) => LookupOutcome::Hit,
                // Counted once: a later result after a stale value belongs to the same read.
                _ => LookupOutcome::Stale,
            };
            found(index, news);
        };
        let fences = self.seek_until_all_known(wanted, class, codec, will_load, patience, &mut hand_over).await;
        let latency = Some(self.clock.now().saturating_sub(started));
        for outcome in outcomes {
            let is_miss = outcome == LookupOutcome::Miss;
            let count = if is_miss { &self.counts.misses } else { &self.counts.hits };
            count.fetch_add(1, Ordering::Relaxed);
            if !is_miss {
                class.counters.add(Count::SharedHit);
            }
            self.notify(&Event::Lookup { class: class.ttl.name(), tier: NAME, outcome, latency });
        }
        if fences.is_empty() {
            return None;
        }
        match patience.spend(self.tier.open_epoch()).await {
            Ok(epoch) => Some(Tickets::new(self, fences, epoch)),
            Err(error) => {
                self.failed("epoch", &error);
                None
            }
        }
    }

    async fn seek_until_all_known<V: 'static>(
        self: &Arc<Self>,
        wanted: &[Wanted<'_>],
        class: &Class,
        codec: &dyn Codec<V>,
        will_load: bool,
        patience: &mut Patience,
        found: Found<'_, V>,
    ) -> Vec<Fenced> {
        // A class without a lifetime leaves nothing in L2, so a wait would spare no load.
        let waiting = Waiting::new(if class.ttl.ttl().is_zero() { Duration::ZERO } else { self.wait_of(class) });
        let fence = if will_load { format!("{:016x}", self.tier.next_id().0) } else { String::new() };
        let mut fences = Vec::new();
        let reject = |inquiry: &Inquiry| inquiry.past().map(|id| Bytes::copy_from_slice(&id.head()));
        let open = wanted.iter().enumerate();
        let mut open: Vec<Open> =
            open.map(|(index, (_, inquiry))| Open { index, reject: reject(inquiry), may_be_stale: true }).collect();
        open = self.without_those_at_replicas(wanted, open, class, codec, patience, found).await;
        open = self.without_those_at_a_glance(wanted, open, codec, patience, found).await;
        // All processes use one order, so the first process is first at nearly all keys.
        open.sort_unstable_by(|one, other| wanted[one.index].0.as_str().cmp(wanted[other.index].0.as_str()));
        while !open.is_empty() {
            let before = patience.clone();
            let noticed: Vec<u64> = open.iter().map(|open| wanted[open.index].1.noticed()).collect();
            let mut looks = Vec::with_capacity(open.len());
            for open in &open {
                looks.push(Look { key: wanted[open.index].0, reject: open.reject.clone() });
            }
            let looked = self.tier.look_many(&looks, class.ttl.name(), &fence, patience).await;
            looked.failures.iter().for_each(|error| self.failed("look", error));
            let (mut again, mut elsewhere, mut candidates) = (Vec::new(), Vec::new(), Vec::new());
            for ((open, noticed), looked) in open.into_iter().zip(noticed).zip(looked.answers) {
                let (index, key) = (open.index, wanted[open.index].0);
                let mut may_be_stale = open.may_be_stale;
                let rejected = match looked {
                    Some(Looked::Stale { entry, .. }) if !may_be_stale => Some(entry.id.head().to_vec()),
                    Some(Looked::Stale { entry, left }) => {
                        let id = entry.id;
                        match unpack(codec, entry) {
                            Ok(fill) => candidates.push(Candidate { index, fill, id, left, is_stale: true, noticed }),
                            Err(error) => self.codec_failed(class, key, &error),
                        }
                        // One is enough as a fallback.
                        may_be_stale = false;
                        Some(id.head().to_vec())
                    }
                    Some(Looked::Found { entry, fresh_for: left }) => {
                        let id = entry.id;
                        match unpack(codec, entry) {
                            Ok(fill) => {
                                candidates.push(Candidate { index, fill, id, left, is_stale: false, noticed });
                                None
                            }
                            Err(error) => {
                                self.codec_failed(class, key, &error);
                                Some(id.head().to_vec())
                            }
                        }
                    }
                    Some(Looked::Invalid { head }) => Some(head.to_vec()),
                    Some(Looked::Unreadable { head, error }) => {
                        self.codec_failed(class, key, &error);
                        Some(head.to_vec())
                    }
                    Some(Looked::Fenced { fence, is_first: true }) if will_load => {
                        fences.push(Fenced { key: key.clone(), fence, past: open.reject });
                        None
                    }
                    Some(Looked::Fenced { fence, .. }) if will_load => {
                        elsewhere.push((open, fence));
                        None
                    }
                    Some(Looked::Fenced { .. }) | None => None,
                };
                let reject = |head: Vec<u8>| Open { index, reject: Some(head.into()), may_be_stale };
                again.extend(rejected.filter(|_| will_load).map(reject));
            }
            self.confirm_many(wanted, candidates, patience, found).await;
            if again.is_empty() {
                let is_own = elsewhere.iter().all(|(_, fence)| self.tier.is_own(fence));
                if elsewhere.is_empty() || !fences.is_empty() || waiting.is_over(is_own) {
                    let fenced = |(open, fence): (Open, _)| {
                        let key = wanted[open.index].0.clone();
                        Fenced { key, fence, past: open.reject }
                    };
                    fences.extend(elsewhere.into_iter().map(fenced));
                    return fences;
                }
                // Redis replied in time. The wait is for the other loads.
                *patience = before;
                waiting.pause().await;
            }
            again.extend(elsewhere.into_iter().map(|(open, _)| open));
            open = again;
        }
        fences
    }

    /// Passes on results that need only the values. Returns keys that need a full query.
    async fn without_those_at_a_glance<V: 'static>(
        self: &Arc<Self>,
        wanted: &[Wanted<'_>],
        open: Vec<Open>,
        codec: &dyn Codec<V>,
        patience: &mut Patience,
        found: Found<'_, V>,
    ) -> Vec<Open> {
        if open.is_empty() || !self.may_glance() {
            return open;
        }
        let noticed: Vec<u64> = open.iter().map(|open| wanted[open.index].1.noticed()).collect();
        let keys: Vec<&Key> = open.iter().map(|open| wanted[open.index].0).collect();
        let looked = self.tier.glance_many(&keys, patience).await;
        let (mut rest, mut candidates) = (Vec::new(), Vec::new());
        for ((open, noticed), looked) in open.into_iter().zip(noticed).zip(looked) {
            let (index, is_wanted) = (open.index, open.reject.is_none());
            if let Some(Looked::Found { entry, fresh_for: left }) = looked.filter(|_| is_wanted) {
                let id = entry.id;
                if let Ok(fill) = unpack(codec, entry) {
                    candidates.push(Candidate { index, fill, id, left, is_stale: false, noticed });
                    continue;
                }
            }
            rest.push(open);
        }
        self.confirm_many(wanted, candidates, patience, found).await;
        rest
    }

    /// Passes on values of replicas. Returns the keys that need a query of the primary.
    async fn without_those_at_replicas<V: 'static>(
        &self,
        wanted: &[Wanted<'_>],
        open: Vec<Open>,
        class: &Class,
        codec: &dyn Codec<V>,
        patience: &mut Patience,
        found: Found<'_, V>,
    ) -> Vec<Open> {
        let noticed: Vec<u64> = open.iter().map(|open| wanted[open.index].1.noticed()).collect();
        let keys: Vec<&Key> = open.iter().map(|open| wanted[open.index].0).collect();
        let looked = self.found_at_replicas(&keys, class.ttl.name(), patience).await;
        let (mut rest, mut candidates) = (Vec::new(), Vec::new());
        for ((open, noticed), looked) in open.into_iter().zip(noticed).zip(looked) {
            match looked {
                Some(Looked::Found { entry, fresh_for: left }) if open.reject.is_none() => {
                    candidates.push((open, entry.id, left, noticed, unpack(codec, entry)));
                }
                _ => rest.push(open),
            }
        }
        // Keys with notices meanwhile are queried on the primary, and so are their replacements.
        let asked = candidates.iter().map(|(open, id, _, noticed, _)| (open.index, *id, *noticed)).collect();
        let confirmed = self.confirmed(wanted, asked, patience).await;
        for ((open, id, left, _, fill), noticed) in candidates.into_iter().zip(confirmed) {
            match (fill, noticed) {
                (Ok(fill), Some(noticed)) => {
                    self.counts.from_replicas.fetch_add(1, Ordering::Relaxed);
                    found(open.index, News::Found(fill, Some(Mark { id: Some(id), left, noticed })));
                }
                _ => rest.push(open),
            }
        }
        rest
    }

    /// Passes on the results, after a check of the notices that came meanwhile.
    async fn confirm_many<V>(
        &self,
        wanted: &[Wanted<'_>],
        candidates: Vec<Candidate<V>>,
        patience: &mut Patience,
        found: Found<'_, V>,
    ) {
        let asked = candidates.iter().map(|candidate| (candidate.index, candidate.id, candidate.noticed)).collect();
        let confirmed = self.confirmed(wanted, asked, patience).await;
        for (candidate, noticed) in candidates.into_iter().zip(confirmed) {
            let Candidate { index, fill, id, left, is_stale, .. } = candidate;
            match noticed {
                Some(noticed) if is_stale => found(index, News::Stale(Past { fill, id, left, noticed })),
                // Not served, because it may have been replaced by now.
                None if is_stale => {}
                noticed => {
                    found(index, News::Found(fill, noticed.map(|noticed| Mark { id: Some(id), left, noticed })));
                }
            }
        }
    }

    /// Returns for each entry the number of notices seen while L2 still held it. `None` if L2 does
    /// not hold it or cannot be reached.
    pub(super) async fn confirmed(
        &self,
        wanted: &[Wanted<'_>],
        asked: Vec<(usize, EntryId, u64)>,
        patience: &mut Patience,
    ) -> Vec<Option<u64>> {
        let mut known: Vec<Option<u64>> = asked.iter().map(|(_, _, noticed)| Some(*noticed)).collect();
        for round in 0..=CONFIRMATIONS {
            let (mut disturbed, mut keys) = (Vec::new(), Vec::new());
            for (at, (index, id, _)) in asked.iter().enumerate() {
                let (key, inquiry) = wanted[*index];
                let now = inquiry.noticed();
                if known[at].is_some_and(|noticed| noticed != now) {
                    known[at] = Some(now);
                    disturbed.push(at);
                    keys.push((key, *id));
                }
            }
            if disturbed.is_empty() {
                return known;
            }
            // Changed once more after the last comparison.
            if round == CONFIRMATIONS {
                disturbed.iter().for_each(|at| known[*at] = None);
                return known;
            }
            let held = self.tier.hold_many(&keys, patience).await;
            for (at, is_held) in disturbed.into_iter().zip(held.answers) {
                if is_held != Some(true) {
                    known[at] = None;
                }
            }
        }
        known
    }
}
