//! An entry of L2 as bytes: its author, its generations, and the value.
//!
//! ```text
//! format 1 byte, id 8, class (length 2, text), epoch (length 2, bytes), moves of the class 8,
//! ms of life 8, ms of grace 8,
//! tags (count 2; each: length 2, text, generation (length 2, digits)),
//! codec's form 1, its version 1, value, date (16 digits)
//! ```
//!
//! Numbers are big-endian. The date is the server's time in µs at which Redis expires the entry. A
//! reader that has only the bytes knows from it how long they are valid. The server's script
//! appends the date.

use std::num::NonZeroU64;
use std::time::Duration;

use bytes::Bytes;

use crate::codec::{CodecError, Format};
use crate::tag::Tag;

/// Form of the bytes around the value.
pub(super) const FORMAT: u8 = 3;

/// Bytes that distinguish one entry from every other: the format and the id.
pub(crate) const HEAD: usize = 9;

/// Digits of the date.
const DATE: usize = 16;

/// Id of one fill. A process compares it to find out whether L2 holds the same entry as L1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EntryId(pub(crate) NonZeroU64);

impl EntryId {
    pub(crate) fn head(self) -> [u8; HEAD] {
        let mut head = [FORMAT; HEAD];
        head[1..].copy_from_slice(&self.0.get().to_be_bytes());
        head
    }

    /// Returns the id of the entry after it was expired by hand: the script adds one to the first
    /// byte. No two entries share the remaining bytes, so they cannot be confused.
    pub(crate) fn expired(self) -> Option<Self> {
        NonZeroU64::new(self.0.get().wrapping_add(1 << 56)).map(Self)
    }

    /// Returns the id that an entry had before it was expired by hand.
    pub(crate) fn fresh(self) -> Option<Self> {
        NonZeroU64::new(self.0.get().wrapping_sub(1 << 56)).map(Self)
    }
}

/// Metadata of an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) id: EntryId,
    /// A text.
    pub(super) class: Bytes,
    pub(super) epoch: Bytes,
    pub(super) class_moves: u64,
    /// Maximum time that Redis keeps it, from when it was stored or expired by hand.
    pub(super) life: Duration,
    /// The last part of its life in Redis, in which it is stale.
    pub(super) grace: Duration,
    pub(super) tags: Vec<(Tag, Bytes)>,
    pub(super) codec: Format,
    pub(super) value: Bytes,
    /// The server's time in µs at the end of its life; a value to be stored has none yet.
    pub(super) date: u64,
}

impl Entry {
    /// All but the date.
    pub(super) fn encode(&self) -> Result<Vec<u8>, CodecError> {
        let mut out = Vec::with_capacity(128 + self.value.len() + self.tags.len() * 64);
        out.extend(self.id.head());
        push(&mut out, &self.class)?;
        push(&mut out, &self.epoch)?;
        out.extend(self.class_moves.to_be_bytes());
        for span in [self.life, self.grace] {
            out.extend(u64::try_from(span.as_millis()).unwrap_or(u64::MAX).to_be_bytes());
        }
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
        let mut reader = Reader { bytes, at: 0, end: bytes.len().saturating_sub(DATE) };
        if reader.take(1)?[0] != FORMAT {
            return Err(CodecError::NotAnEntry { at: 0 });
        }
        let id = NonZeroU64::new(reader.number()?).ok_or(CodecError::NotAnEntry { at: 1 })?;
        let class = reader.text()?;
        let epoch = reader.counted()?;
        let class_moves = reader.number()?;
        let life = Duration::from_millis(reader.number()?);
        let grace = Duration::from_millis(reader.number()?);
        let count = reader.length()?;
        // No more room than the bytes could fill.
        let mut tags = Vec::with_capacity(count.min(bytes.len() / 4));
        for _ in 0..count {
            let at = reader.at;
            let text = str::from_utf8(reader.counted_bytes()?).ok();
            let tag = text.and_then(|text| Tag::read(text).ok()).ok_or(CodecError::NotAnEntry { at })?;
            tags.push((tag, reader.counted()?));
        }
        let codec = reader.take(2)?;
        let codec = Format { form: codec[0], version: codec[1] };
        let value = bytes.slice(reader.at..reader.end);
        let date = date(&bytes[reader.end..]).ok_or(CodecError::NotAnEntry { at: reader.end })?;
        Ok(Self { id: EntryId(id), class, epoch, class_moves, life, grace, tags, codec, value, date })
    }

    /// The name of its class.
    pub(super) fn class(&self) -> &str {
        // It was text when it was decoded.
        str::from_utf8(&self.class).unwrap_or_default()
    }

    /// Returns how much longer Redis keeps the entry when the server's clock shows `now`. Never
    /// more than its first lifetime, even if that clock was set back.
    pub(super) fn left(&self, now: u64) -> Duration {
        Duration::from_micros(self.date.saturating_sub(now)).min(self.life)
    }
}

/// Returns the class in the first bytes of an entry, which may be incomplete.
pub(super) fn class_of(start: &Bytes) -> Option<String> {
    let mut reader = Reader { bytes: start, at: HEAD, end: start.len() };
    str::from_utf8(reader.counted_bytes().ok()?).ok().map(str::to_owned)
}

fn date(digits: &[u8]) -> Option<u64> {
    if digits.len() != DATE {
        return None;
    }
    digits.iter().try_fold(0, |date, digit| digit.is_ascii_digit().then(|| date * 10 + u64::from(digit - b'0')))
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
    end: usize,
}

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], CodecError> {
        let end = self.at.saturating_add(count);
        if end > self.end {
            return Err(CodecError::NotAnEntry { at: self.end });
        }
        let taken = &self.bytes[self.at..end];
        self.at = end;
        Ok(taken)
    }

    fn number(&mut self) -> Result<u64, CodecError> {
        Ok(self.take(8)?.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }

    fn length(&mut self) -> Result<usize, CodecError> {
        Ok(self.take(2)?.iter().fold(0, |number, byte| number << 8 | usize::from(*byte)))
    }

    fn counted_bytes(&mut self) -> Result<&'a [u8], CodecError> {
        let length = self.length()?;
        self.take(length)
    }

    fn text(&mut self) -> Result<Bytes, CodecError> {
        let at = self.at;
        let text = self.counted()?;
        if str::from_utf8(&text).is_ok() { Ok(text) } else { Err(CodecError::NotAnEntry { at }) }
    }

    fn counted(&mut self) -> Result<Bytes, CodecError> {
        let length = self.counted_bytes()?.len();
        Ok(self.bytes.slice(self.at - length..self.at))
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn entry() -> impl Strategy<Value = Entry> {
        let tags = vec((".{0,6}", vec(any::<u8>(), 0..20)), 0..4);
        let counts = (any::<u64>(), any::<u64>(), any::<u64>());
        let codec = any::<[u8; 2]>();
        (1..u64::MAX, ".{0,8}", vec(any::<u8>(), 0..40), counts, tags, codec, vec(any::<u8>(), 0..80)).prop_map(
            |(id, class, epoch, (class_moves, life, grace), tags, codec, value)| Entry {
                id: EntryId(NonZeroU64::new(id).unwrap()),
                class: class.into(),
                epoch: epoch.into(),
                class_moves,
                life: Duration::from_millis(life),
                grace: Duration::from_millis(grace),
                tags: tags.into_iter().map(|(tag, generation)| (Tag::new(tag), generation.into())).collect(),
                codec: Format { form: codec[0], version: codec[1] },
                value: value.into(),
                date: 0,
            },
        )
    }

    proptest! {
        #[test]
        fn a_dated_entry_is_read_as_written(mut entry in entry(), date in 0..10_u64.pow(16)) {
            let mut bytes = entry.encode().unwrap();
            bytes.extend(format!("{date:016}").into_bytes());
            let bytes = Bytes::from(bytes);
            entry.date = date;
            prop_assert_eq!(&bytes[..HEAD], &entry.id.head()[..]);
            let class = String::from_utf8(entry.class.to_vec()).ok();
            prop_assert_eq!(class_of(&bytes.slice(..HEAD + 2 + entry.class.len())), class);
            prop_assert_eq!(Entry::decode(&bytes).unwrap(), entry);
        }

        #[test]
        fn foreign_bytes_are_refused_without_a_panic(mut bytes in vec(any::<u8>(), 0..200), cut in 0..200usize) {
            let _ = Entry::decode(&bytes.clone().into());
            if let Some(first) = bytes.first_mut() {
                *first = FORMAT;
            }
            bytes.truncate(cut);
            let _ = Entry::decode(&bytes.into());
        }
    }
    #[test]
    fn a_clock_that_was_set_back_prolongs_nothing() {
        let (id, life) = (EntryId(NonZeroU64::MIN), Duration::from_secs(10));
        let empty = Bytes::new();
        let codec = Format { form: 0, version: 0 };
        let entry = Entry {
            id,
            class: empty.clone(),
            epoch: empty.clone(),
            class_moves: 0,
            life,
            grace: Duration::ZERO,
            tags: Vec::new(),
            codec,
            value: empty,
            date: 50_000_000,
        };
        assert_eq!(entry.left(49_000_000), Duration::from_secs(1));
        assert_eq!(entry.left(50_000_001), Duration::ZERO);
        assert_eq!(entry.left(1_000_000), life);
    }
}
