//! Values of callers that L2 stores unconditionally.

use std::collections::BTreeMap;

use futures_util::future::{join_all, join3};
use tidegate_redis::{Topology, Value};
use tokio::time::Instant;

use super::forget::values_of;
use super::shared::is_one;
use crate::key::Key;
use crate::l2::new::{Failure, New};
use crate::l2::patience::{Impatience, Patience};
use crate::l2::steps::{Item, run_many};
use crate::l2::tier::{RedisTier, millis};

/// Value of a caller, with its index and the names of value and fence.
struct Put {
    index: usize,
    names: [String; 2],
    new: New,
}

impl RedisTier {
    /// Stores values of a caller unconditionally. Returns for each key whether it is stored.
    ///
    /// Keys of one server do not wait for another, so a server that hangs fails only its own keys.
    pub(in crate::l2) async fn put_many(
        &self,
        puts: Vec<(Key, New)>,
        patience: &mut Patience,
    ) -> (Vec<bool>, Vec<Impatience<Failure>>) {
        let _changing = self.changing(puts.iter().map(|(key, _)| key));
        let (mut done, mut failures) = (vec![false; puts.len()], Vec::new());
        let mut groups: BTreeMap<Vec<String>, Vec<Put>> = BTreeMap::new();
        for (index, (key, new)) in puts.into_iter().enumerate() {
            let names = [self.names.value(&key), self.names.fence(&key)];
            groups.entry(self.needed_by(&names[0], &new)).or_default().push(Put { index, names, new });
        }
        let started = Instant::now();
        let stored = groups.into_values().map(|group| {
            let mut patience = patience.clone();
            async move { self.put_group(group, &mut patience).await }
        });
        for (stored, failed) in join_all(stored).await {
            stored.into_iter().for_each(|index| done[index] = true);
            failures.extend(failed);
        }
        patience.charge(started.elapsed());
        (done, failures)
    }

    /// Returns the servers that are needed to store this, besides that of the epoch.
    fn needed_by(&self, name: &str, new: &New) -> Vec<String> {
        if self.client.topology() != Topology::Cluster {
            return Vec::new();
        }
        let tags = new.tags.iter().map(|tag| self.server_of(&self.names.generation(tag)));
        let mut servers: Vec<String> = tags.chain([self.server_of(name)]).collect();
        servers.sort_unstable();
        servers.dedup();
        servers
    }

    /// Returns the indexes of the stored values.
    async fn put_group(&self, puts: Vec<Put>, patience: &mut Patience) -> (Vec<usize>, Vec<Impatience<Failure>>) {
        let (started, [mut one, mut two, mut three]) = (Instant::now(), [(); 3].map(|()| patience.clone()));
        let names: Vec<&str> = puts.iter().map(|put| put.names[0].as_str()).collect();
        let bounds = one.spend(self.bounds(&names, patience.left()));
        let carried = two.spend(self.carry(puts.iter().map(|put| &put.new)));
        let (carried, epoch, bounds) = join3(carried, three.spend(self.open_epoch()), bounds).await;
        // Charged once, for the longest of the three.
        patience.charge(started.elapsed());
        let (carried, epoch, bounds) = match (carried, epoch, bounds) {
            (Ok(carried), Ok(epoch), Ok(bounds)) => (carried, epoch, bounds),
            (Err(error), ..) | (_, Err(error), _) | (.., Err(error)) => return (Vec::new(), vec![error.into()]),
        };
        let (mut items, mut indexes, mut failures) = (Vec::new(), Vec::new(), Vec::new());
        for Put { index, names, new } in puts {
            let ttl = millis(new.ttl);
            match Self::encode_with(new, &epoch, &carried) {
                Ok(entry) => {
                    let (bytes, bound) = (entry.len(), bounds.of(self, &names[0]));
                    items.push(Item { names: names.into(), args: vec![entry.into(), ttl, bound.into()], bytes });
                    indexes.push(index);
                }
                Err(error) => failures.push(Impatience::Failed(error.into())),
            }
        }
        let values = values_of(&items);
        let mut put = run_many(&self.client, &self.scripts.put_many, &[], items, 1, patience).await;
        self.notify(&values, &mut put, patience).await;
        failures.extend(put.failures.into_iter().map(Into::into));
        let is_done = |answer: Option<Vec<Value>>| answer.is_some_and(|answer| is_one(&answer));
        let done = indexes.into_iter().zip(put.answers).filter_map(|(index, answer)| is_done(answer).then_some(index));
        (done.collect(), failures)
    }
}
