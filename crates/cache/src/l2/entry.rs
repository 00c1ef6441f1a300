//! An entry of L2 as bytes: who wrote it under which generations, and the value.
//!
//! ```text
//! format 1 byte, id 8, class (length 2, text), epoch (length 2, bytes), moves of the class 8, ms of grace 8,
//! tags (count 2; each: length 2, text, generation (length 2, digits)), codec's form 1, its version 1, value
//! ```
//! Numbers are big-endian.

use std::num::NonZeroU64;
use std::time::Duration;

use bytes::Bytes;

use crate::codec::{CodecError, Format};
use crate::tag::Tag;

/// The form of what stands around the value.
const FORMAT: u8 = 2;

/// Bytes that tell one entry from every other: the format and the id.
pub(crate) const HEAD: usize = 9;

/// Names one fill, so that a process knows whether what lies in L2 is what it holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct EntryId(pub(crate) NonZeroU64);

impl EntryId {
    pub(crate) fn head(self) -> [u8; HEAD] {
        let mut head = [FORMAT; HEAD];
        head[1..].copy_from_slice(&self.0.get().to_be_bytes());
        head
    }
}

/// What an entry says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) id: EntryId,
    pub(super) class: String,
    pub(super) epoch: Bytes,
    pub(super) class_moves: u64,
    /// The last part of its life in Redis, in which it is stale.
    pub(super) grace: Duration,
    pub(super) tags: Vec<(Tag, Bytes)>,
    pub(super) codec: Format,
    pub(super) value: Bytes,
}

impl Entry {
    pub(super) fn encode(&self) -> Result<Vec<u8>, CodecError> {
        let mut out = Vec::with_capacity(64 + self.value.len() + self.tags.len() * 64);
        out.extend(self.id.head());
        push(&mut out, self.class.as_bytes())?;
        push(&mut out, &self.epoch)?;
        out.extend(self.class_moves.to_be_bytes());
        out.extend(u64::try_from(self.grace.as_millis()).unwrap_or(u64::MAX).to_be_bytes());
        out.extend(length(self.tags.len())?);
        for (tag, generation) in &self.tags {
            push(&mut out, tag.as_str().as_bytes())?;
            push(&mut out, generation)?;
        }
        out.extend([self.codec.form, self.codec.version]);
        out.extend_from_slice(&self.value);
        Ok(out)
    }

    pub(super) fn decode(bytes: &Bytes) -> Result<Self, CodecError> {
        let mut reader = Reader { bytes, at: 0 };
        if reader.take(1)?[0] != FORMAT {
            return Err(CodecError::NotAnEntry { at: 0 });
        }
        let id = NonZeroU64::new(reader.number()?).ok_or(CodecError::NotAnEntry { at: 1 })?;
        let class = reader.text()?;
        let epoch = reader.counted()?;
        let class_moves = reader.number()?;
        let grace = Duration::from_millis(reader.number()?);
        let count = reader.length()?;
        // No more room than the bytes could fill.
        let mut tags = Vec::with_capacity(count.min(bytes.len() / 4));
        for _ in 0..count {
            let at = reader.at;
            let tag = Tag::parse(&reader.text()?).map_err(|_| CodecError::NotAnEntry { at })?;
            tags.push((tag, reader.counted()?));
        }
        let codec = reader.take(2)?;
        let codec = Format { form: codec[0], version: codec[1] };
        let value = bytes.slice(reader.at..);
        Ok(Self { id: EntryId(id), class, epoch, class_moves, grace, tags, codec, value })
    }
}

/// The class in the first bytes of an entry, which need not be all of it.
pub(super) fn class_of(start: &Bytes) -> Option<String> {
    let mut reader = Reader { bytes: start, at: HEAD };
    reader.text().ok()
}

fn length(length: usize) -> Result<[u8; 2], CodecError> {
    let limit = usize::from(u16::MAX);
    u16::try_from(length).map(u16::to_be_bytes).map_err(|_| CodecError::TooBig { length, limit })
}

fn push(out: &mut Vec<u8>, bytes: &[u8]) -> Result<(), CodecError> {
    out.extend(length(bytes.len())?);
    out.extend_from_slice(bytes);
    Ok(())
}

struct Reader<'a> {
    bytes: &'a Bytes,
    at: usize,
}

impl Reader<'_> {
    fn take(&mut self, count: usize) -> Result<Bytes, CodecError> {
        let end = self.at.saturating_add(count);
        if end > self.bytes.len() {
            return Err(CodecError::NotAnEntry { at: self.bytes.len() });
        }
        let taken = self.bytes.slice(self.at..end);
        self.at = end;
        Ok(taken)
    }

    fn number(&mut self) -> Result<u64, CodecError> {
        Ok(self.take(8)?.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }

    fn length(&mut self) -> Result<usize, CodecError> {
        Ok(self.take(2)?.iter().fold(0, |number, byte| number << 8 | usize::from(*byte)))
    }

    fn counted(&mut self) -> Result<Bytes, CodecError> {
        let length = self.length()?;
        self.take(length)
    }

    fn text(&mut self) -> Result<String, CodecError> {
        let at = self.at;
        String::from_utf8(self.counted()?.into()).map_err(|_| CodecError::NotAnEntry { at })
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn entry() -> impl Strategy<Value = Entry> {
        let tags = vec((".{0,6}", vec(any::<u8>(), 0..20)), 0..4);
        let counts = (any::<u64>(), any::<u64>());
        let codec = any::<[u8; 2]>();
        (1..u64::MAX, ".{0,8}", vec(any::<u8>(), 0..40), counts, tags, codec, vec(any::<u8>(), 0..80)).prop_map(
            |(id, class, epoch, (class_moves, grace), tags, codec, value)| Entry {
                id: EntryId(NonZeroU64::new(id).unwrap()),
                class,
                epoch: epoch.into(),
                class_moves,
                grace: Duration::from_millis(grace),
                tags: tags.into_iter().map(|(tag, generation)| (Tag::new(tag), generation.into())).collect(),
                codec: Format { form: codec[0], version: codec[1] },
                value: value.into(),
            },
        )
    }

    proptest! {
        #[test]
        fn what_was_written_is_read(entry in entry()) {
            let bytes = Bytes::from(entry.encode().unwrap());
            prop_assert_eq!(&bytes[..HEAD], &entry.id.head()[..]);
            prop_assert_eq!(class_of(&bytes.slice(..HEAD + 2 + entry.class.len())), Some(entry.class.clone()));
            prop_assert_eq!(Entry::decode(&bytes).unwrap(), entry);
        }

        #[test]
        fn bytes_of_anybody_are_refused_without_a_panic(mut bytes in vec(any::<u8>(), 0..200), cut in 0..200usize) {
            let _ = Entry::decode(&bytes.clone().into());
            if let Some(first) = bytes.first_mut() {
                *first = FORMAT;
            }
            bytes.truncate(cut);
            let _ = Entry::decode(&bytes.into());
        }
    }
}
