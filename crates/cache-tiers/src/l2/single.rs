//! The steps of the protocol for one key: its fence, its fill, and the values that callers set.

use std::time::Duration;

use bytes::Bytes;
use futures_util::future::try_join_all;
use tidegate_redis::{Command, Error, Script};

use super::bound::Bounded;
use super::epoch::Epoch;
use super::names::Names;
use super::new::{Failure, Filled, New};
use super::tier::{RedisTier, millis};
use crate::key::Key;
use crate::tag::Tag;

/// Minimum time by which a generation outlives its entries, so that it is rarely extended.
const GENERATION_MARGIN: Duration = Duration::from_secs(60 * 60);

impl RedisTier {
    /// Takes part in the fence of a key, whether it has a value or not.
    pub(super) async fn take_part(&self, key: &Key) -> Result<String, Error> {
        let fence = format!("{:016x}", self.next_id().0);
        let set = Command::new("SET").key(self.names.fence(key)).arg(fence.as_str());
        let set = set.arg("NX").arg("GET").arg("PX").arg(millis(self.fence)).idempotent();
        match self.client.execute(set).await? {
            in_force if in_force.is_nil() => Ok(fence),
            in_force => in_force.into_text(),
        }
    }

    /// Stores a loaded value, unless it was invalidated meanwhile.
    pub(super) async fn fill(&self, key: &Key, fence: &str, epoch: &Epoch, new: New) -> Result<Filled, Failure> {
        let tags = self.generations(&new.tags, new.ttl).await?;
        if !tags.is_empty() {
            let cells: Vec<String> = tags.iter().map(|(tag, _)| Names::cell_field(tag)).collect();
            let now = self.epoch_fields(&cells.iter().map(String::as_str).collect::<Vec<_>>()).await?;
            if !now.is_of(epoch) || cells.iter().any(|cell| now.count(cell) != epoch.count(cell)) {
                return Ok(Filled::Refused);
            }
        }
        let (id, ttl) = (new.id, millis(new.ttl));
        let entry = new.encode(epoch, tags)?;
        let keys = [self.names.value(key), self.names.fence(key)];
        let _changing = self.changing([key]);
        let stored = self.client.run(&self.scripts.fill, &keys, vec![fence.into(), entry.into(), ttl]).await?;
        Ok(if stored.as_int()? == 1 { Filled::Stored(id) } else { Filled::Refused })
    }

    /// Stores a value of a caller unconditionally, but not after `left` has passed.
    pub(super) async fn put(&self, key: &Key, new: New, left: Duration) -> Result<(), Failure> {
        self.put_by(&self.scripts.put, key, new, left).await
    }

    /// Like [`put`](Self::put), with that script.
    pub(super) async fn put_by(&self, script: &Script, key: &Key, new: New, left: Duration) -> Result<(), Failure> {
        let Bounded { keys, entry, ttl, bound } = self.bounded(key, new, left).await?;
        let _changing = self.changing([key]);
        let stored = self.client.run(script, &keys, vec![entry, ttl, bound]).await?;
        if stored.as_int()? != 1 {
            return Err(Failure::Late);
        }
        Ok(self.ways.notify(&keys[0]).await?)
    }

    pub(super) async fn generations(&self, tags: &[Tag], ttl: Duration) -> Result<Vec<(Tag, Bytes)>, Error> {
        let least = ttl.saturating_add(GENERATION_MARGIN);
        let read = tags.iter().map(|tag| async move {
            let args = vec![millis(least), millis(least.saturating_mul(2))];
            let generation = self.client.run(&self.scripts.tag_read, &[self.names.generation(tag)], args).await?;
            Ok::<_, Error>((tag.clone(), generation.into_bytes()?))
        });
        try_join_all(read).await
    }

    /// Gives a fence back. Returns whether it was still in force.
    pub(super) async fn release(&self, key: &Key, fence: &str) -> Result<bool, Error> {
        let released = self.client.run(&self.scripts.release, &[self.names.fence(key)], vec![fence.into()]).await?;
        Ok(released.as_int()? == 1)
    }
}
