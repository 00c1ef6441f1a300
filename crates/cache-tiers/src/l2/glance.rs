//! The short way to a hit: a plain `GET`, compared with recent replies of Redis.
//!
//! Everything else is left to the full query, which reads all from Redis at once: a missing value,
//! an epoch, class or tag that differs from memory, a value past its lifetime.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::{join, try_join_all};
use tokio::time::{Instant, timeout};

use super::entry::Entry;
use super::look::Looked;
use super::patience::Patience;
use super::recall::{Said, Tagged};
use super::shared::{L2, Mark};
use super::tier::RedisTier;
use super::unpack::unpack;
use crate::class::Class;
use crate::codec::Codec;
use crate::event::LookupOutcome;
use crate::fill::Fill;
use crate::inquiry::Inquiry;
use crate::key::Key;
use crate::tag::Tag;

/// Result of a glance.
pub struct Glance<V> {
    pub fill: Fill<V>,
    /// `None` if L1 must not keep it.
    pub mark: Option<Mark>,
}

/// A glance in progress, and its remaining time.
#[derive(Clone)]
pub struct Glancing {
    patience: Patience,
    started: Instant,
}

impl Glancing {
    /// Returns the time that the glance left.
    pub fn left(&self) -> Patience {
        let mut patience = self.patience.clone();
        patience.charge(self.started.elapsed());
        patience
    }
}

impl L2 {
    /// Whether a plain `GET` can be trusted. If replicas may be read, they are queried first.
    pub fn may_glance(self: &Arc<Self>) -> bool {
        self.tier.replicas.is_none() && !self.owes() && self.is_following()
    }

    pub fn glancing(&self) -> Glancing {
        Glancing { patience: self.patience(), started: Instant::now() }
    }

    /// Returns the result of a plain `GET`, and counts a hit. `None` if a full query is needed.
    pub async fn glance<V: 'static>(
        &self,
        key: &Key,
        class: &Class,
        codec: &dyn Codec<V>,
        inquiry: &Inquiry,
        glancing: &Glancing,
    ) -> Option<Glance<V>> {
        let started = self.clock.now();
        let mut patience = glancing.patience.clone();
        let found = self.seek_at_a_glance(key, codec, inquiry, &mut patience).await;
        if found.is_some() {
            self.looked(class, LookupOutcome::Hit, started);
        }
        found
    }

    pub(super) async fn seek_at_a_glance<V: 'static>(
        &self,
        key: &Key,
        codec: &dyn Codec<V>,
        inquiry: &Inquiry,
        patience: &mut Patience,
    ) -> Option<Glance<V>> {
        let mut noticed = Some(inquiry.noticed());
        let Looked::Found { entry, fresh_for: left } = self.tier.glance(key, patience).await? else { return None };
        let id = entry.id;
        let fill = unpack(codec, entry).ok()?;
        if noticed != Some(inquiry.noticed()) {
            noticed = self.confirm(key, id, inquiry, noticed.unwrap_or_default(), patience).boxed().await;
        }
        Some(Glance { fill, mark: noticed.map(|noticed| Mark { id: Some(id), left, noticed }) })
    }
}

impl RedisTier {
    /// Returns the entry of the key if fresh and valid. Works only while changes are followed.
    async fn glance(&self, key: &Key, patience: &mut Patience) -> Option<Looked> {
        let name = self.names.value(key);
        let server = self.server_of(&name);
        let get = async {
            // A timer is as slow as all the rest here, and the client has its own.
            if patience.left() >= self.client.timeout() {
                return self.client.get(&name).await.ok().flatten();
            }
            timeout(patience.left(), self.client.get(&name)).await.ok()?.ok().flatten()
        };
        // A reader that finds the memory old renews it together with its own query. If the renewal
        // fails, it is repeated, and reported if it fails again.
        let bytes = if let Some(renewing) = self.renewing(&name, &server) {
            join(get, timeout(patience.left(), renewing)).boxed().await.0
        } else {
            get.await
        };
        let (entry, now) = self.in_force(&bytes?, &server)?;
        let left = entry.left(now);
        let found = Looked::of(entry, left);
        let Looked::Found { entry, .. } = &found else { return None };
        if !entry.tags.is_empty() && !self.admits_tags(&entry.tags, patience).await {
            return None;
        }
        Some(found)
    }

    /// Returns an entry of the remembered epoch and class, and the time of its server.
    pub(super) fn in_force(&self, bytes: &Bytes, server: &str) -> Option<(Entry, u64)> {
        let entry = Entry::decode(bytes).ok()?;
        let Said::Valid(now) = self.recall.judge_epoch(&entry.epoch, entry.class(), entry.class_moves) else {
            return None;
        };
        let now = if server.is_empty() { now } else { self.recall.clock(server)? };
        Some((entry, now))
    }

    /// Renews remembered replies, if it is this caller's turn.
    pub(super) fn renewing<'a>(&'a self, name: &'a str, server: &'a str) -> Option<impl Future<Output = ()> + 'a> {
        let epoch = self.recall.epoch_due();
        // If there is one server, its time comes with the epoch.
        let clock = if server.is_empty() { None } else { self.recall.clock_due(server) };
        if epoch.is_none() && clock.is_none() {
            return None;
        }
        // A failure leaves the remembered reply, which gets too old.
        let epoch = async move {
            let Some(asked) = epoch else { return };
            if let Ok((epoch, micros)) = self.read_epoch().await {
                self.recall.epoch_is(epoch, micros, asked);
            }
        };
        let clock = async move {
            let Some(asked) = clock else { return };
            if let Ok(micros) = self.time_of(name).await {
                self.recall.clock_is(server.to_owned(), micros, asked);
            }
        };
        Some(join(epoch, clock).map(drop))
    }

    /// Whether these generations are in force according to memory. Queries those that are unknown.
    async fn admits_tags(&self, carried: &[(Tag, Bytes)], patience: &mut Patience) -> bool {
        let Tagged::Unknown(unknown) = self.recall.judge_tags(carried) else { return false };
        if unknown.is_empty() {
            return true;
        }
        let asked = self.recall.asking_tags(unknown.iter().map(|(tag, _)| tag));
        let asking = try_join_all(unknown.iter().map(|(tag, _)| self.generation(tag)));
        let Ok(now) = patience.spend(asking).boxed().await else { return false };
        let mut is_valid = true;
        for (((tag, carried), now), asked) in unknown.iter().zip(now).zip(asked) {
            match now {
                Some(now) => {
                    is_valid &= now == *carried;
                    self.recall.tag_is(tag, &now, asked);
                }
                None => is_valid = false,
            }
        }
        is_valid
    }
}
