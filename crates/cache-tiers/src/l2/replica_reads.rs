//! Reads of replicas, and the changes after which the primary is read instead.

use futures_util::future::join;
use tidegate_redis::Arg;
use tokio::time::Instant;

use super::batch::Seen;
use super::look::Looked;
use super::names::Names;
use super::patience::Patience;
use super::shared::L2;
use super::steps::{BYTES, Item, Servers, run_many};
use super::tier::RedisTier;
use crate::key::Key;
use crate::pattern::Pattern;

/// A change that this process makes.
pub(super) struct Changing<'a> {
    tier: &'a RedisTier,
    keys: Vec<Key>,
}

impl Drop for Changing<'_> {
    fn drop(&mut self) {
        self.tier.changes(&self.keys);
    }
}

impl RedisTier {
    /// Remembers these keys now, and again when the change that this process makes is over.
    pub(super) fn changing<'a>(&self, keys: impl IntoIterator<Item = &'a Key>) -> Option<Changing<'_>> {
        self.replicas.as_ref()?;
        let changing = Changing { tier: self, keys: keys.into_iter().cloned().collect() };
        self.changes(&changing.keys);
        Some(changing)
    }

    /// Remembers that these keys have changed.
    pub(super) fn changes<'a>(&self, keys: impl IntoIterator<Item = &'a Key>) {
        if let Some(reads) = &self.replicas {
            let (mut lately, now) = (reads.lately(), Instant::now());
            keys.into_iter().for_each(|key| lately.key(key, now));
        }
    }

    /// Like [`changes`](Self::changes), for matching keys.
    pub(super) fn changes_matching(&self, pattern: &Pattern) {
        if let Some(reads) = &self.replicas {
            reads.lately().pattern(pattern, Instant::now());
        }
    }

    /// Like [`changes`](Self::changes), for all keys.
    pub(super) fn changes_everything(&self) {
        if let Some(reads) = &self.replicas {
            reads.lately().everything(Instant::now());
        }
    }

    /// Returns the fresh and valid values of replicas. For other keys, query the primary.
    async fn look_at_replicas(&self, keys: &[&Key], class: &str, patience: &mut Patience) -> Vec<Option<Looked>> {
        let mut found: Vec<Option<Looked>> = keys.iter().map(|_| None).collect();
        let Some(reads) = &self.replicas else { return found };
        let Some(replicas) = reads.found() else { return found };
        let mut asked = Vec::with_capacity(keys.len());
        {
            let (mut lately, now) = (reads.lately(), Instant::now());
            asked.extend((0..keys.len()).filter(|at| !lately.has(keys[*at], now)));
        }
        if asked.is_empty() {
            return found;
        }
        let items =
            asked.iter().map(|at| Item { names: vec![self.names.value(keys[*at])], args: Vec::new(), bytes: 0 });
        let (servers, common) = (Servers::Replicas(&self.client, replicas), [Arg::from(BYTES)]);
        let field = Names::class_field(class);
        let fields = [field.as_str()];
        let (begun, mut own, mut aside) = (Instant::now(), patience.clone(), patience.clone());
        let peeked = run_many(servers, &self.scripts.peek_many, &common, items.collect(), 2, &mut own);
        let (peeked, epoch) = join(peeked, aside.spend(self.epoch_fields(&fields))).await;
        // Charged once, for the longer of the two.
        patience.charge(begun.elapsed());
        // A query that fails here is repeated on the primary, and reported if it fails there too.
        let Ok(epoch) = epoch else { return found };
        let seen = peeked.answers.into_iter().map(|answer| Seen::peeked(answer?)).collect();
        let Ok(judged) = self.judge(seen, class, epoch, patience).await else { return found };
        for (at, looked) in asked.into_iter().zip(judged) {
            found[at] = looked.filter(|looked| matches!(looked, Looked::Found { .. }));
        }
        found
    }
}

impl L2 {
    /// Returns the fresh and valid values that replicas have of these keys; none if replicas may
    /// not be read. They may take half of the time that the read may wait, so that the primary can
    /// be queried after a replica that hangs.
    pub(super) async fn found_at_replicas(
        &self,
        keys: &[&Key],
        class: &str,
        patience: &mut Patience,
    ) -> Vec<Option<Looked>> {
        if self.tier.replicas.is_none() || !self.is_following() {
            return keys.iter().map(|_| None).collect();
        }
        let started = Instant::now();
        let mut half = patience.half();
        let found = self.tier.look_at_replicas(keys, class, &mut half).await;
        patience.charge(started.elapsed());
        found
    }
}
