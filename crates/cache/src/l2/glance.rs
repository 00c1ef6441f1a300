//! The short way to a hit: a plain `GET`, judged by what Redis said a moment ago.
//!
//! Whatever is not plainly good is left to the long way, which asks Redis for everything at once: nothing there, another epoch,
//! class or tag than is remembered, a value that is past its lifetime.

use bytes::Bytes;
use futures_util::future::{join, try_join_all};
use tidegate_redis::Topology;

use super::entry::Entry;
use super::look::Looked;
use super::recall::{Said, Tagged};
use super::tier::RedisTier;
use crate::key::Key;
use crate::tag::Tag;

impl RedisTier {
    /// What lies under the key, if it is an entry that is fresh and valid. Only while changes are followed.
    pub(super) async fn glance(&self, key: &Key) -> Option<Looked> {
        let name = self.names.value(key);
        let server = self.server_of(&name);
        let bytes = self.client.get(&name);
        // Whoever finds the memory old renews it, beside its own question.
        let bytes = if let Some(renewing) = self.renewing(&name, &server) {
            join(bytes, renewing).await.0
        } else {
            bytes.await
        };
        // What fails here is asked again, and told of if that fails too.
        let entry = Entry::decode(&bytes.ok()??).ok()?;
        if self.recall.judge_epoch(&entry.epoch, entry.class(), entry.class_moves) != Said::Valid {
            return None;
        }
        if !entry.tags.is_empty() && !self.admits_tags(&entry.tags).await {
            return None;
        }
        let left = entry.left(self.recall.clock(&server)?);
        Some(Looked::of(entry, left)).filter(|looked| matches!(looked, Looked::Found { .. }))
    }

    /// Asks for what is to be remembered, where it is this caller's turn.
    fn renewing<'a>(&'a self, name: &'a str, server: &'a str) -> Option<impl Future<Output = ()> + 'a> {
        let epoch = self.recall.epoch_due();
        // Where there is one server, its time comes with the epoch.
        let clock = if server.is_empty() { None } else { self.recall.clock_due(server) };
        if epoch.is_none() && clock.is_none() {
            return None;
        }
        Some(async move {
            let epoch = async {
                let Some(asked) = epoch else { return };
                let with_clock = self.recall.asking_clock();
                // What fails leaves what is known, which gets too old.
                if let Ok((epoch, micros)) = self.read_epoch().await {
                    self.recall.epoch_is(epoch, asked);
                    if self.client.topology() != Topology::Cluster {
                        self.recall.clock_is(String::new(), micros, with_clock);
                    }
                }
            };
            let clock = async {
                let Some(asked) = clock else { return };
                if let Ok(micros) = self.time_of(name).await {
                    self.recall.clock_is(server.to_owned(), micros, asked);
                }
            };
            join(epoch, clock).await;
        })
    }

    /// Whether these generations are in force, as far as is remembered; asks for those that are not known.
    async fn admits_tags(&self, carried: &[(Tag, Bytes)]) -> bool {
        let Tagged::Unknown(unknown) = self.recall.judge_tags(carried) else { return false };
        if unknown.is_empty() {
            return true;
        }
        let asked = self.recall.asking_tags(unknown.iter().map(|(tag, _)| tag));
        let Ok(now) = try_join_all(unknown.iter().map(|(tag, _)| self.generation(tag))).await else { return false };
        let mut is_valid = true;
        for (((tag, carried), now), asked) in unknown.iter().zip(now).zip(asked) {
            match now {
                Some(now) => {
                    is_valid &= now == *carried;
                    self.recall.tag_is(tag, now, asked);
                }
                None => is_valid = false,
            }
        }
        is_valid
    }
}
