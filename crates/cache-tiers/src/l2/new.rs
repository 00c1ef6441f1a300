//! A value to store, and the outcomes of storing it.

use std::time::Duration;

use bytes::Bytes;
use tidegate_redis::Error;

use super::entry::{Entry, EntryId};
use super::epoch::Epoch;
use super::names::Names;
use crate::codec::{CodecError, Format};
use crate::tag::Tag;
use crate::ttl::TtlClass;

/// Value that is about to be stored.
#[derive(Clone)]
pub struct New {
    pub id: EntryId,
    pub(super) class: TtlClass,
    pub(super) tags: Vec<Tag>,
    /// Time that Redis keeps it, including the grace at the end.
    pub(super) ttl: Duration,
    pub(super) grace: Duration,
    pub(super) codec: Format,
    pub(super) value: Bytes,
}

impl New {
    /// Returns the bytes of its entry, under this epoch and the generations of its tags.
    pub(super) fn encode(self, epoch: &Epoch, tags: Vec<(Tag, Bytes)>) -> Result<Vec<u8>, CodecError> {
        let class = self.class.name();
        let entry = Entry {
            id: self.id,
            class_moves: epoch.count(&Names::class_field(class)),
            class: Bytes::from_static(class.as_bytes()),
            epoch: epoch.id(),
            life: self.ttl,
            grace: self.grace,
            tags,
            codec: self.codec,
            value: self.value,
            date: 0,
        };
        entry.encode()
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Filled {
    Stored(EntryId),
    Refused,
}

/// Reason why a value could not be stored.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    #[error(transparent)]
    Redis(#[from] Error),
    #[error(transparent)]
    Codec(#[from] CodecError),
    #[error("it came to Redis when its sender had given up")]
    Late,
}
