//! Tags: names that many entries share, so that all of them can be invalidated in one step.

use std::fmt;

use crate::key::KeyError;
use crate::text::{self, HashedText};

/// A name that entries carry, such as `tenant:7`, to invalidate all of them in constant time.
///
/// Different parts give different tags, escaped and, above 200 characters, hashed like [`Key`].
///
/// [`Key`]: crate::Key
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Tag(pub(crate) HashedText);

impl Tag {
    /// Creates a tag of one part. A separator in it is escaped: `Tag::new("a:b")` is not
    /// `Tag::of(["a", "b"])`.
    ///
    /// A `Display` that fails contributes what it wrote before it failed.
    pub fn new(name: impl fmt::Display) -> Self {
        Self::of([name])
    }

    /// Creates a tag of several parts: `Tag::of(["tenant", id])` reads `tenant:7`. No parts read as
    /// one empty part.
    ///
    /// A `Display` that fails contributes what it wrote before it failed.
    pub fn of(parts: impl IntoIterator<Item = impl fmt::Display>) -> Self {
        let mut text = String::with_capacity(48);
        for (index, part) in parts.into_iter().enumerate() {
            if index > 0 {
                text.push(text::SEPARATOR);
            }
            // Invalidation fails the same way, so the tags still match: continuing loses nothing.
            let _ = text::push_escaped(&mut text, &part);
        }
        Self(HashedText::bounded(&text))
    }

    /// Parses the text of [`Tag::as_str`], from this process or another.
    ///
    /// # Errors
    ///
    /// [`KeyError::EmptyTag`] if the text is empty: that is probably a mistake.
    /// [`KeyError::NotAKey`] if the text is longer than a tag or has a character that constructors
    /// escape.
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        if text.is_empty() { Err(KeyError::EmptyTag) } else { Self::read(text) }
    }

    /// The tag in a response header: parts joined by `:`, raw or as in [`Tag::as_str`].
    #[doc(hidden)]
    pub fn named(text: &str) -> Self {
        // The digest of a tag that was too long cannot be computed again from its text.
        if text.rsplit(text::SEPARATOR).next().is_some_and(text::is_whole_digest)
            && let Ok(tag) = Self::parse(text)
        {
            return tag;
        }
        Self::of(text.split(text::SEPARATOR).map(|part| text::unescaped(part).unwrap_or_else(|| part.to_owned())))
    }

    /// Like [`parse`](Self::parse), for text that may be the tag of one empty part.
    pub(crate) fn read(text: &str) -> Result<Self, KeyError> {
        match text::first_foreign(text) {
            Some(at) => Err(KeyError::NotAKey { at }),
            None => Ok(Self(HashedText::bounded(text))),
        }
    }

    /// Returns the tag's text.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    pub(crate) fn hash(&self) -> u64 {
        self.0.hash()
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tag({})", self.as_str())
    }
}
