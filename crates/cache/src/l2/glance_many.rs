//! Many keys at a glance: their values alone, judged by what Redis said a moment ago.

use std::collections::HashMap;

use bytes::Bytes;
use futures_util::future::{join, join_all};
use tidegate_redis::{Arg, Value};
use tokio::time::timeout;

use super::entry::Entry;
use super::look::Looked;
use super::patience::Patience;
use super::recall::{Said, Tagged};
use super::steps::{BYTES, Item, run_many};
use super::tier::RedisTier;
use crate::key::Key;
use crate::tag::Tag;
use crate::text::Prehashed;

impl RedisTier {
    /// What lies under these keys, where it is an entry that is fresh and valid. Only while changes are followed.
    pub(super) async fn glance_many(&self, keys: &[&Key], patience: &mut Patience) -> Vec<Option<Looked>> {
        let names: Vec<String> = keys.iter().map(|key| self.names.value(key)).collect();
        let servers: Vec<String> = names.iter().map(|name| self.server_of(name)).collect();
        let one_each: HashMap<&str, &str> =
            servers.iter().map(String::as_str).zip(names.iter().map(String::as_str)).collect();
        let renewing = join_all(one_each.iter().filter_map(|(server, name)| self.renewing(name, server)));
        let renewing = timeout(patience.left(), renewing);
        let items = names.iter().map(|name| Item { names: vec![name.clone()], args: Vec::new(), bytes: 0 }).collect();
        let common = [Arg::from(BYTES)];
        // What fails here is asked again, and told of if that fails too.
        let reading = run_many(&self.client, &self.scripts.glance_many, &common, items, 1, patience);
        let (read, _) = join(reading, renewing).await;
        let mut pending = Vec::new();
        let judged = read.answers.into_iter().zip(&servers).enumerate().map(|(index, (answer, server))| {
            let (entry, now) = self.in_force(answer?, server)?;
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

    /// An entry of the epoch and the class that are in force, and the time of its server.
    fn in_force(&self, answer: Vec<Value>, server: &str) -> Option<(Entry, u64)> {
        let entry = Entry::decode(&answer.into_iter().next()?.into_optional_bytes().ok()??).ok()?;
        let Said::Valid(now) = self.recall.judge_epoch(&entry.epoch, entry.class(), entry.class_moves) else {
            return None;
        };
        let now = if server.is_empty() { now } else { self.recall.clock(server)? };
        Some((entry, now))
    }

    /// Asks for tags that are not remembered, and remembers what is in force.
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
                self.recall.tag_is(tag, now.clone(), asked);
            }
        }
        now.into_iter().collect()
    }
}
