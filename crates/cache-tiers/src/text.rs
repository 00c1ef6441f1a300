//! The text of keys and tags: shared, hashed once, and unable to imitate another text.
//!
//! A text consists of segments joined by `:`. Every character with a meaning to a separator, a
//! pattern, Redis Cluster's hash tags, this escaping itself or a terminal is written as `%XX` per
//! UTF-8 byte, so that joining stays injective.

use std::collections::hash_map::RandomState;
use std::fmt::{self, Write};
use std::hash::{BuildHasher, Hash, Hasher};
use std::sync::{Arc, OnceLock};

use sha2::{Digest, Sha256};

/// Separates segments.
pub const SEPARATOR: char = ':';

/// Maximum length of a key or tag, in characters; a longer text ends in a digest.
pub(crate) const LONGEST: usize = 200;

/// Leading characters that survive hashing: `LONGEST` minus `:#` and 64 hexadecimal digits.
pub(crate) const LONGEST_LEADING: usize = LONGEST - 66;

/// Opens the digest segment; escaped everywhere else, so no plain text starts a segment with it.
const DIGEST_MARK: char = '#';

/// A shared string with its hash, computed once when it is built.
#[derive(Clone)]
pub(crate) struct HashedText {
    text: Arc<str>,
    hash: u64,
}

impl HashedText {
    /// Returns short text unchanged. Otherwise keeps leading whole segments and adds a digest.
    pub(crate) fn bounded(text: &str) -> Self {
        match cut_at(text, LONGEST) {
            None => Self::new(text),
            Some(_) => Self::new(&digested(text)),
        }
    }

    fn new(text: &str) -> Self {
        Self { text: text.into(), hash: hash_of(text) }
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.text
    }

    pub(crate) fn hash(&self) -> u64 {
        self.hash
    }
}

impl PartialEq for HashedText {
    fn eq(&self, other: &Self) -> bool {
        self.hash == other.hash && (Arc::ptr_eq(&self.text, &other.text) || self.text == other.text)
    }
}

impl Eq for HashedText {}

impl Hash for HashedText {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash);
    }
}

/// Hashes with a seed drawn once per process, so that no client can choose keys that collide.
fn hash_of(text: &str) -> u64 {
    static SEED: OnceLock<RandomState> = OnceLock::new();
    SEED.get_or_init(RandomState::new).hash_one(text)
}

/// Returns the byte index of character number `characters`, if the text is longer than that.
fn cut_at(text: &str, characters: usize) -> Option<usize> {
    if text.len() <= characters {
        return None;
    }
    text.char_indices().nth(characters).map(|(at, _)| at)
}

fn digested(text: &str) -> String {
    // A segment that ends exactly at the cut is whole: its separator sits at the cut.
    let reach = cut_at(text, LONGEST_LEADING).map_or(text.len(), |at| at + 1);
    let kept = text.as_bytes()[..reach.min(text.len())].iter().rposition(|byte| *byte == b':').unwrap_or(0);
    let mut short = String::with_capacity(kept + 66);
    short.push_str(&text[..kept]);
    if kept > 0 {
        short.push(SEPARATOR);
    }
    short.push(DIGEST_MARK);
    for byte in Sha256::digest(text.as_bytes()) {
        push_hex(&mut short, byte);
    }
    short
}

fn push_hex(out: &mut String, byte: u8) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    out.push(char::from(DIGITS[usize::from(byte >> 4)]));
    out.push(char::from(DIGITS[usize::from(byte & 15)]));
}

/// Whether a byte is a whole character that stands for itself.
const STANDS_FOR_ITSELF: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = b' ';
    while byte < 0x7f {
        table[byte as usize] = !needs_escape(byte as char);
        byte += 1;
    }
    table
};

const fn needs_escape(character: char) -> bool {
    matches!(character, '\0'..='\x1f' | '\x7f'..='\u{9f}' | ':' | '%' | '=' | '#' | '*' | '?' | '[' | ']' | '\\' | '{' | '}')
}

/// A writer that escapes its input, so that a `Display` value needs no string of its own.
struct Escaped<'a>(&'a mut String);

impl Write for Escaped<'_> {
    fn write_str(&mut self, raw: &str) -> fmt::Result {
        if raw.bytes().all(|byte| STANDS_FOR_ITSELF[usize::from(byte)]) {
            self.0.push_str(raw);
            return Ok(());
        }
        for character in raw.chars() {
            if needs_escape(character) {
                for byte in character.encode_utf8(&mut [0; 4]).bytes() {
                    self.0.push('%');
                    push_hex(self.0, byte);
                }
            } else {
                self.0.push(character);
            }
        }
        Ok(())
    }
}

/// Appends `value`, escaped.
///
/// # Errors
///
/// The error of the value's own `Display`. The part that it wrote before stays in `out`.
pub fn push_escaped(out: &mut String, value: &impl fmt::Display) -> fmt::Result {
    write!(Escaped(out), "{value}")
}

/// Returns the argument of `push_escaped`. `None` if `push_escaped` did not write this text.
pub fn unescaped(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((byte, after)) = rest.split_first() {
        if *byte == b'%' {
            let hex = after.get(..2).filter(|hex| hex.iter().all(|digit| is_upper_hex(*digit)))?;
            bytes.push(u8::from_str_radix(str::from_utf8(hex).ok()?, 16).ok()?);
            rest = &after[2..];
        } else {
            bytes.push(*byte);
            rest = after;
        }
    }
    String::from_utf8(bytes).ok()
}

/// Whether a segment is the digest of a text that was too long.
pub(crate) fn is_digest(segment: &str) -> bool {
    segment.starts_with(DIGEST_MARK)
}

/// Whether a segment is such a digest to its last digit. Its text may come from a header.
pub(crate) fn is_whole_digest(segment: &str) -> bool {
    is_digest(segment) && segment.len() == 65 && segment.bytes().skip(1).all(is_upper_hex)
}

/// Returns the byte index of the first part of `text` that no builder would have written.
pub(crate) fn first_foreign(text: &str) -> Option<usize> {
    if let Some(at) = cut_at(text, LONGEST) {
        return Some(at);
    }
    let bytes = text.as_bytes();
    text.char_indices().find_map(|(at, character)| {
        let foreign = match character {
            ':' | '=' => false,
            '#' => at > 0 && bytes[at - 1] != b':',
            '%' => !matches!(bytes.get(at + 1..at + 3), Some([a, b]) if is_upper_hex(*a) && is_upper_hex(*b)),
            other => needs_escape(other),
        };
        foreign.then_some(at)
    })
}

fn is_upper_hex(byte: u8) -> bool {
    matches!(byte, b'0'..=b'9' | b'A'..=b'F')
}

/// Lets a hash table use the hash that the text already carries.
#[derive(Clone, Default)]
pub struct Prehashed;

impl BuildHasher for Prehashed {
    type Hasher = Taken;

    fn build_hasher(&self) -> Taken {
        Taken(0)
    }
}

/// The hasher of [`Prehashed`].
pub struct Taken(u64);

impl Hasher for Taken {
    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }

    fn write(&mut self, bytes: &[u8]) {
        // Not reached by `HashedText`, but a valid hash (FNV-1a) if a type gets more fields.
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }

    fn finish(&self) -> u64 {
        self.0
    }
}
