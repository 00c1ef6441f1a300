//! Many keys at a glance: only their values, compared with recent replies of Redis.

use std::collections::{BTreeMap, HashMap};

use bytes::Bytes;
use futures_util::future::{join, join_all};
use tidegate_redis::{Arg, Client, Error, Topology, Value};
use tokio::time::{Instant, timeout};

use super::look::Looked;
use super::patience::Patience;
use super::recall::Tagged;
use super::steps::{BYTES, KEYS, UNDER_WAY};
use super::tier::RedisTier;
use crate::key::Key;
use crate::tag::Tag;
use crate::text::Prehashed;

impl RedisTier {
    /// Returns the entries of these keys that are fresh and valid. Only while changes are followed.
    pub(super) async fn glance_many(&self, keys: &[&Key], patience: &mut Patience) -> Vec<Option<Looked>> {
        let servers = self.servers_of(keys);
        let one_each: HashMap<&str, &Key> = servers.iter().map(String::as_str).zip(keys.iter().copied()).collect();
        let one_each: Vec<_> = one_each.into_iter().map(|(server, key)| (server, self.names.value(key))).collect();
        let renewing = join_all(one_each.iter().filter_map(|(server, name)| self.renewing(name, server)));
        let (renewing, begun, mut aside) = (timeout(patience.left(), renewing), Instant::now(), patience.clone());
        // A step that fails here is repeated by the full query, which reports a failure.
        let (read, _) = join(self.read_values(keys, &mut aside), renewing).await;
        // Charged once, for the longer of the two.
        patience.charge(begun.elapsed());
        let mut pending = Vec::new();
        let judged = read.into_iter().enumerate().map(|(index, bytes)| {
            let (entry, now) = self.in_force(&bytes?, servers.get(index).map_or("", String::as_str))?;
            let unknown = match self.recall.judge_tags(&entry.tags) {
                Tagged::Unknown(unknown) => unknown,
                Tagged::Other => return None,
            };
            if !unknown.is_empty() {
                pending.push((index, unknown));
            }
            let left = entry.left(now);
            Some(Looked::of(entry, left)).filter(|looked| matches!(looked, Looked::Found { .. }))
        });
        let mut judged: Vec<Option<Looked>> = judged.collect();
        let now = self.ask_tags(&pending, patience).await;
        for (index, unknown) in pending {
            if unknown.iter().any(|(tag, carried)| now.get(tag) != Some(carried)) {
                judged[index] = None;
            }
        }
        judged
    }

    /// Returns the server of each key; empty if there is only one server.
    fn servers_of(&self, keys: &[&Key]) -> Vec<String> {
        let is_cluster = self.client.topology() == Topology::Cluster;
        let asked = if is_cluster { keys } else { &keys[..keys.len().min(1)] };
        asked.iter().map(|key| self.server_of(&self.names.value(key))).collect()
    }

    /// Returns the value of each key, in the same steps as scripts. `None` also if a step failed.
    async fn read_values(&self, keys: &[&Key], patience: &mut Patience) -> Vec<Option<Bytes>> {
        let is_cluster = self.client.topology() == Topology::Cluster;
        let mut by_slot: BTreeMap<u16, Vec<usize>> = BTreeMap::new();
        for (index, key) in keys.iter().enumerate() {
            // The hash tag of the name is the key.
            let slot = if is_cluster { Client::slot_of(key.as_str()) } else { 0 };
            by_slot.entry(slot).or_default().push(index);
        }
        let (mut places, mut steps) = (Vec::new(), Vec::new());
        for (slot, indexes) in &by_slot {
            for indexes in indexes.chunks(KEYS) {
                places.push(indexes);
                steps.push(self.read_step(*slot, keys, indexes));
            }
        }
        let at_once = (UNDER_WAY * steps.len()).div_ceil(keys.len().max(1)).max(1);
        let mut values = vec![None; keys.len()];
        for (indexes, read) in places.into_iter().zip(patience.spend_each(at_once, steps).await) {
            for (index, value) in indexes.iter().zip(read.unwrap_or_default()) {
                values[*index] = value;
            }
        }
        values
    }

    async fn read_step(&self, slot: u16, keys: &[&Key], indexes: &[usize]) -> Result<Vec<Option<Bytes>>, Error> {
        let mut values = Vec::with_capacity(indexes.len());
        // The script stops when its bytes are reached.
        while values.len() < indexes.len() {
            let rest = &indexes[values.len()..];
            let names = rest.iter().map(|index| Arg::from(self.names.value(keys[*index])));
            let all = names.chain([Arg::from(BYTES)]).collect();
            let answer = self.client.run_in(slot, &self.scripts.glance_many, rest.len(), all).await?.into_array()?;
            if answer.is_empty() {
                // A missing reply is an error.
                Value::Nil.into_bytes()?;
            }
            for value in answer {
                values.push(value.into_optional_bytes()?);
            }
        }
        Ok(values)
    }

    /// Queries the tags that are not remembered, and remembers the generations in force.
    async fn ask_tags(
        &self,
        pending: &[(usize, Vec<(Tag, Bytes)>)],
        patience: &mut Patience,
    ) -> HashMap<Tag, Bytes, Prehashed> {
        let mut tags: Vec<Tag> = pending.iter().flat_map(|(_, unknown)| unknown).map(|(tag, _)| tag.clone()).collect();
        tags.sort_unstable_by(|one, other| one.as_str().cmp(other.as_str()));
        tags.dedup();
        if tags.is_empty() {
            return HashMap::default();
        }
        let asked = self.recall.asking_tags(&tags);
        let Ok(now) = patience.spend(self.current(tags.clone())).await else { return HashMap::default() };
        for (tag, asked) in tags.iter().zip(asked) {
            if let Some(now) = now.get(tag) {
                self.recall.tag_is(tag, now, asked);
            }
        }
        now.into_iter().collect()
    }
}
