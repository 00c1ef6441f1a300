//! Patterns over keys.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// Longest pattern, in bytes: no key is longer than 200 characters, so more is never useful.
const LONGEST: usize = 1024;

/// A glob over key texts: `*` stands for any characters (separators too), `?` for one.
///
/// All other characters stand for themselves, as they appear in [`Key::as_str`]: a colon inside a
/// part is `%3A` there. To match text that users supply, build the pattern with
/// [`KeyBuilder::below`], which escapes it.
///
/// [`Key::as_str`]: crate::Key::as_str
/// [`KeyBuilder::below`]: crate::KeyBuilder::below
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Pattern(Arc<str>);

impl Pattern {
    /// Parses a pattern.
    ///
    /// # Errors
    ///
    /// It is empty, longer than 1024 bytes, or has a character that no key contains, which would
    /// match nothing and is surely a mistake: `[`, `]`, `{`, `}`, `\` or a control character.
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        if text.is_empty() {
            return Err(PatternError::Empty);
        }
        if text.len() > LONGEST {
            return Err(PatternError::TooLong { length: text.len(), limit: LONGEST });
        }
        let foreign = |c: &(usize, char)| c.1.is_control() || matches!(c.1, '[' | ']' | '{' | '}' | '\\');
        match text.char_indices().find(foreign) {
            Some((at, character)) => Err(PatternError::Unsupported { character, at }),
            None => Ok(Self(text.into())),
        }
    }

    pub(crate) fn below(escaped: &str) -> Self {
        Self(format!("{escaped}:*").into())
    }

    /// Whether the pattern matches the whole of `text`. Costs at most the product of both lengths.
    pub fn matches(&self, text: &str) -> bool {
        matches(self.0.as_bytes(), text.as_bytes())
    }

    /// Returns the pattern as it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Pattern {
    type Err = PatternError;

    fn from_str(text: &str) -> Result<Self, PatternError> {
        Self::parse(text)
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Walks both once; on a mismatch the last `*` takes one character more. Both sides are UTF-8, and
/// literal bytes are equal on both sides, so positions stay on character boundaries.
fn matches(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p, t));
                p += 1;
            }
            Some(b'?') => {
                p += 1;
                t += width(text[t]);
            }
            Some(literal) if *literal == text[t] => {
                p += 1;
                t += 1;
            }
            _ => match star {
                Some((star_p, star_t)) => {
                    t = star_t + width(text[star_t]);
                    star = Some((star_p, t));
                    p = star_p + 1;
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|byte| *byte == b'*')
}

/// Returns the number of bytes of the UTF-8 character that starts with `first`.
fn width(first: u8) -> usize {
    match first {
        0..0xC0 => 1,
        0xC0..0xE0 => 2,
        0xE0..0xF0 => 3,
        _ => 4,
    }
}

/// Reason why a text is not a pattern.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PatternError {
    /// There is no text.
    #[error("the pattern is empty")]
    Empty,
    /// Longer than any key needs.
    #[error("the pattern is {length} bytes long, the limit is {limit}")]
    TooLong {
        /// Length in bytes.
        length: usize,
        /// The limit in bytes.
        limit: usize,
    },
    /// No key contains this character.
    #[error("the pattern has {character:?} at byte {at}, which no key contains; only `*` and `?` are wildcards")]
    Unsupported {
        /// The character.
        character: char,
        /// Its byte index.
        at: usize,
    },
}
