//! Keys: built from parts, never from a format string, so that no two inputs share a key.

use std::fmt;

use crate::pattern::Pattern;
use crate::text::{self, HashedText};

/// Longest prefix, in characters after escaping; short enough to survive hashing whole.
const LONGEST_PREFIX: usize = 100;

/// The name of one cached value: `schedule:tenant-1:42:limit=50`.
///
/// Building a key costs two allocations and one hash. Build it once per request and pass it by
/// reference. Cloning copies a pointer; comparing and hashing use the stored hash.
///
/// # Guarantees
///
/// Different prefixes, parts or named parts give different keys (a property test checks this; above
/// 200 characters it relies on SHA-256). Characters that have a meaning in patterns, Redis Cluster
/// or terminals, including control characters, are written as `%XX`. A key is at most 200
/// characters long. A longer one keeps its prefix and as many leading whole parts as fit into 134
/// characters, so that patterns on them still match. It ends in `#` and the SHA-256 of the full
/// text.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Key(pub(crate) HashedText);

impl Key {
    /// Starts a key. The prefix names the cached data, such as `schedule`.
    pub fn builder(prefix: impl fmt::Display) -> KeyBuilder {
        KeyBuilder::new(&prefix)
    }

    /// Parses the text of [`Key::as_str`], from this process or another.
    ///
    /// # Errors
    ///
    /// [`KeyError::NotAKey`] if the text is empty, too long, or has a character that builders
    /// escape.
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        if text.is_empty() || text.starts_with(text::SEPARATOR) {
            return Err(KeyError::NotAKey { at: 0 });
        }
        match text::first_foreign(text) {
            Some(at) => Err(KeyError::NotAKey { at }),
            None => Ok(Self(HashedText::bounded(text))),
        }
    }

    /// The hash of its text, by which the count of reads knows it.
    #[doc(hidden)]
    pub fn text_hash(&self) -> u64 {
        self.0.hash()
    }

    /// Returns the parts from which the key was built, the prefix first, unescaped. For code that
    /// loads keys that other code built, such as a warm-up. Named parts come last, sorted by name.
    ///
    /// `None` for a key above 200 characters, of which only a digest is left.
    pub fn parts(&self) -> Option<Vec<KeyPart>> {
        let segments = self.as_str().split(text::SEPARATOR);
        segments
            .map(|segment| match segment.split_once('=') {
                _ if text::is_digest(segment) => None,
                Some((name, text)) => {
                    Some(KeyPart { name: Some(text::unescaped(name)?), text: text::unescaped(text)? })
                }
                None => Some(KeyPart { name: None, text: text::unescaped(segment)? }),
            })
            .collect()
    }

    /// Returns the key's text, as patterns see it.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({})", self.as_str())
    }
}

/// A part of a [`Key`], as passed to its builder.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct KeyPart {
    /// Its name, if [`KeyBuilder::named`] added it.
    pub name: Option<String>,
    /// Its text.
    pub text: String,
}

/// Collects the parts of a [`Key`].
#[derive(Debug, Clone)]
#[must_use = "a builder does nothing until `build`"]
pub struct KeyBuilder {
    text: String,
    parts: usize,
    named: Vec<(String, String)>,
    fault: Option<KeyError>,
}

impl KeyBuilder {
    fn new(prefix: &impl fmt::Display) -> Self {
        let mut builder = Self { text: String::with_capacity(64), parts: 0, named: Vec::new(), fault: None };
        if text::push_escaped(&mut builder.text, prefix).is_err() {
            builder.fault = Some(KeyError::Unformattable { part: 0 });
        }
        let length = builder.text.chars().count();
        if length == 0 {
            builder.fail(KeyError::EmptyPrefix);
        } else if length > LONGEST_PREFIX {
            builder.fail(KeyError::PrefixTooLong { length, limit: LONGEST_PREFIX });
        }
        builder
    }

    /// Appends a positional part. Order counts, and an empty part is still a part.
    pub fn part(mut self, part: impl fmt::Display) -> Self {
        self.text.push(text::SEPARATOR);
        self.parts += 1;
        if text::push_escaped(&mut self.text, &part).is_err() {
            self.fail(KeyError::Unformattable { part: self.parts });
        }
        self
    }

    /// Adds a named part. Named parts come after the positional ones, always sorted by name.
    pub fn named(mut self, name: impl fmt::Display, value: impl fmt::Display) -> Self {
        let (mut escaped_name, mut escaped_value) = (String::new(), String::new());
        self.parts += 1;
        if text::push_escaped(&mut escaped_name, &name)
            .and_then(|()| text::push_escaped(&mut escaped_value, &value))
            .is_err()
        {
            self.fail(KeyError::Unformattable { part: self.parts });
        }
        self.named.push((escaped_name, escaped_value));
        self
    }

    /// Builds the key.
    ///
    /// # Errors
    ///
    /// The prefix is empty or above 100 characters, a name is not unique, or a `Display` failed.
    pub fn build(self) -> Result<Key, KeyError> {
        self.full_text().map(|text| Key(HashedText::bounded(&text)))
    }

    /// Builds the pattern of every key that starts with these parts and has at least one more.
    ///
    /// It ends at a separator: below `users` is `users:7`, not `usersAbc`.
    ///
    /// # Errors
    ///
    /// Those of [`KeyBuilder::build`], and [`KeyError::TooLong`] above 134 characters, which long
    /// keys do not keep.
    pub fn below(self) -> Result<Pattern, KeyError> {
        let text = self.full_text()?;
        let length = text.chars().count();
        if length > text::LONGEST_LEADING {
            return Err(KeyError::TooLong { length, limit: text::LONGEST_LEADING });
        }
        Ok(Pattern::below(&text))
    }

    fn full_text(mut self) -> Result<String, KeyError> {
        if let Some(fault) = self.fault {
            return Err(fault);
        }
        self.named.sort_unstable();
        if let Some([(name, _), _]) = self.named.array_windows().find(|[left, right]| left.0 == right.0) {
            return Err(KeyError::DuplicateName { name: name.clone() });
        }
        for (name, value) in &self.named {
            self.text.extend([":", name, "=", value]);
        }
        Ok(self.text)
    }

    fn fail(&mut self, fault: KeyError) {
        // The first fault is the one to report.
        self.fault.get_or_insert(fault);
    }
}

/// Reason why a text or a list of parts is not a key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// A parsed tag must have a text.
    #[error("the tag is empty")]
    EmptyTag,
    /// A key needs a prefix.
    #[error("the prefix of a key is empty")]
    EmptyPrefix,
    /// The prefix would not survive hashing.
    #[error("the prefix of a key is {length} characters long, the limit is {limit}")]
    PrefixTooLong {
        /// Characters after escaping.
        length: usize,
        /// The limit.
        limit: usize,
    },
    /// Hashed keys would not keep these parts, so a pattern on them would miss some.
    #[error("the parts are {length} characters long, a pattern on them can have {limit}")]
    TooLong {
        /// Characters after escaping.
        length: usize,
        /// The limit.
        limit: usize,
    },
    /// Two named parts carry one name.
    #[error("the named part `{name}` is given twice")]
    DuplicateName {
        /// The name, escaped.
        name: String,
    },
    /// The `Display` of a part returned an error.
    #[error("part {part} of a key cannot be written as text")]
    Unformattable {
        /// Index of the part, in the given order; 0 is the prefix.
        part: usize,
    },
    /// No key builder wrote the text.
    #[error("not a key: unexpected text at byte {at}")]
    NotAKey {
        /// Byte index of the first wrong character.
        at: usize,
    },
}
