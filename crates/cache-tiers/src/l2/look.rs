//! The full query for one key: value and fence in one step, compared with the state of Redis.

use std::time::Duration;

use bytes::Bytes;
use futures_util::future::{join, try_join_all};
use tidegate_redis::{Arg, Command, Error, Value};

use super::entry::{Entry, EntryId, HEAD};
use super::epoch::Epoch;
use super::names::Names;
use super::tier::{RedisTier, is_foreign, millis};
use crate::key::Key;
use crate::tag::Tag;

/// Result of a query for a key.
pub(super) enum Looked {
    Found {
        entry: Entry,
        fresh_for: Duration,
    },
    /// Past its lifetime, in its grace.
    Stale {
        entry: Entry,
        left: Duration,
    },
    /// An entry that is invalid.
    Invalid {
        head: Bytes,
    },
    /// Bytes that are no entry.
    Unreadable {
        head: Bytes,
        error: crate::codec::CodecError,
    },
    /// No value; the fence to load under, and whether no load took part in it before.
    Fenced {
        fence: String,
        is_first: bool,
    },
}

impl Looked {
    /// Returns a valid entry with the time that Redis keeps it. If the clock was set back, that
    /// time may exceed the one in the entry.
    pub(super) fn of(entry: Entry, left: Duration) -> Self {
        let left = left.min(entry.life);
        match left.checked_sub(entry.grace) {
            Some(fresh_for) if !fresh_for.is_zero() => Self::Found { entry, fresh_for },
            // In the last whole millisecond, an entry without a grace would be served as stale.
            _ if left.is_zero() => Self::Invalid { head: Bytes::copy_from_slice(&entry.id.head()) },
            _ => Self::Stale { entry, left },
        }
    }
}

impl RedisTier {
    /// Reads a key, or takes part in its load. `reject` is the head of a known invalid entry.
    pub(super) async fn look(&self, key: &Key, class: &str, reject: Option<&Bytes>) -> Result<Looked, Error> {
        let fence = format!("{:016x}", self.next_id().0);
        let head = reject.cloned().unwrap_or_default();
        let keys = [self.names.value(key), self.names.fence(key)];
        let args: Vec<Arg> = vec![fence.as_str().into(), millis(self.fence), head.into(), self.abandoned_below()];
        let look = self.client.run(&self.scripts.look, &keys, args);
        let (looked, epoch) = join(look, self.epoch_fields(&[&Names::class_field(class)])).await;
        let mut looked = looked?.into_array()?.into_iter();
        let epoch = epoch?;
        let value = looked.next().unwrap_or(Value::Nil).into_optional_bytes()?;
        let second = looked.next().unwrap_or(Value::Nil);
        let Some(bytes) = value else {
            let in_force = second.into_text()?;
            return Ok(Looked::Fenced { is_first: in_force == fence, fence: in_force });
        };
        // Negative if it has no expiry. This crate never writes such an entry.
        let left = Duration::from_millis(u64::try_from(second.as_int()?).unwrap_or_default());
        // A foreign value may be shorter.
        let head = bytes.slice(..bytes.len().min(HEAD));
        let entry = match Entry::decode(&bytes) {
            Ok(entry) => entry,
            Err(error) => return Ok(Looked::Unreadable { head, error }),
        };
        if self.is_valid(&entry, class, &epoch).await? {
            Ok(Looked::of(entry, left))
        } else {
            Ok(Looked::Invalid { head })
        }
    }

    async fn is_valid(&self, entry: &Entry, class: &str, epoch: &Epoch) -> Result<bool, Error> {
        if !epoch.is(&entry.epoch) {
            return Ok(false);
        }
        let moves = if entry.class() == class {
            epoch.count(&Names::class_field(class))
        } else {
            let field = Names::class_field(entry.class());
            let theirs = self.epoch_fields(&[&field]).await?;
            if !theirs.is_of(epoch) {
                return Ok(false);
            }
            theirs.count(&field)
        };
        if moves != entry.class_moves {
            return Ok(false);
        }
        let generations = try_join_all(entry.tags.iter().map(|(tag, _)| self.generation(tag))).await?;
        Ok(entry.tags.iter().zip(generations).all(|((_, carried), now)| now.as_ref() == Some(carried)))
    }

    pub(super) async fn generation(&self, tag: &Tag) -> Result<Option<Bytes>, Error> {
        match self.client.get(&self.names.generation(tag)).await {
            Err(error) if is_foreign(&error) => Ok(None),
            other => other,
        }
    }

    /// Whether the key holds exactly this entry, under either id.
    pub(super) async fn holds(&self, key: &Key, id: EntryId, other: Option<EntryId>) -> Result<bool, Error> {
        let end = HEAD as u64 - 1;
        let range = Command::new("GETRANGE").key(self.names.value(key)).arg(0_u64).arg(end).idempotent();
        let found = self.client.execute(range).await?.into_bytes()?;
        Ok([Some(id), other].into_iter().flatten().any(|id| found[..] == id.head()))
    }
}
