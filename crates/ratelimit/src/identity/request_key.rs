//! What a request is counted under.

use compact_str::{CompactString, format_compact};
use http::Request;

use super::network_of;
use crate::layer::Rejection;

/// What a text begins with that would be taken for an address.
const TEXT: &str = "text:";

/// The key of a request, that it has none, or that what it sent is no key.
///
/// Keys of up to 24 bytes are not allocated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestKey(Kind);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Kind {
    Counted(CompactString),
    Uncounted,
    Bad(&'static str),
    Unavailable(&'static str),
}

impl RequestKey {
    /// Counts the request under `text`.
    ///
    /// A text that reads as an address or a network becomes `text:10.0.0.1`, so that no client can write one and be taken for
    /// that address, by [`KeyLists`](crate::KeyLists) or by a limiter that counts addresses too. What begins with `text:` begins
    /// with it twice then. An address that the server itself has found is [`verbatim`](Self::verbatim).
    pub fn new(text: impl AsRef<str>) -> Self {
        Self::text(CompactString::from(text.as_ref()))
    }

    /// Counts the request under `text` as it stands, such as what [`key_for`](crate::key_for) makes of an address. Never for
    /// what a client wrote.
    pub fn verbatim(text: impl AsRef<str>) -> Self {
        Self::short(CompactString::from(text.as_ref()))
    }

    /// As [`new`](Self::new).
    pub(super) fn text(text: CompactString) -> Self {
        let is_taken = text.starts_with(TEXT) || network_of(&text).is_some();
        Self::short(if is_taken { format_compact!("{TEXT}{text}") } else { text })
    }

    pub(super) const fn short(text: CompactString) -> Self {
        Self(Kind::Counted(text))
    }

    /// Lets the request through uncounted.
    pub const fn uncounted() -> Self {
        Self(Kind::Uncounted)
    }

    /// Refuses the request as one that can't be understood; `reason` is told to the client.
    pub const fn bad(reason: &'static str) -> Self {
        Self(Kind::Bad(reason))
    }

    /// Refuses the request because the server itself lacks what the key is made of. The client gets
    /// a 500 without details; `reason` goes to the log, once.
    pub const fn unavailable(reason: &'static str) -> Self {
        Self(Kind::Unavailable(reason))
    }

    /// The text, where there is one.
    pub fn as_str(&self) -> Option<&str> {
        match &self.0 {
            Kind::Counted(text) => Some(text),
            _ => None,
        }
    }

    /// Whether the request is let through uncounted.
    pub const fn is_uncounted(&self) -> bool {
        matches!(self.0, Kind::Uncounted)
    }

    /// Why the request is refused, where it is.
    pub const fn bad_reason(&self) -> Option<&'static str> {
        match self.0 {
            Kind::Bad(reason) => Some(reason),
            _ => None,
        }
    }

    /// The reason why the server can't make a key.
    pub const fn unavailable_reason(&self) -> Option<&'static str> {
        match self.0 {
            Kind::Unavailable(reason) => Some(reason),
            _ => None,
        }
    }

    /// Why the request is refused before a limiter is asked, if it is.
    pub(crate) fn rejection(&self) -> Option<Rejection<'static>> {
        match self.0 {
            Kind::Bad(reason) => Some(Rejection::BadKey { reason }),
            Kind::Unavailable(reason) => Some(Rejection::NoKey { reason }),
            Kind::Counted(_) | Kind::Uncounted => None,
        }
    }
}

impl From<&str> for RequestKey {
    fn from(text: &str) -> Self {
        Self::new(text)
    }
}

impl From<String> for RequestKey {
    fn from(text: String) -> Self {
        Self::text(CompactString::from(text))
    }
}

/// Nothing is [uncounted](RequestKey::uncounted).
impl<T: Into<Self>> From<Option<T>> for RequestKey {
    fn from(key: Option<T>) -> Self {
        key.map_or(Self::uncounted(), Into::into)
    }
}

/// Finds the key that a request is counted under.
///
/// A function from a request to anything that becomes a [`RequestKey`], such as `Option<String>`, is one.
pub trait KeyExtractor<B> {
    /// The key.
    fn key(&self, request: &Request<B>) -> RequestKey;
}

impl<B, F, T> KeyExtractor<B> for F
where
    F: Fn(&Request<B>) -> T,
    T: Into<RequestKey>,
{
    fn key(&self, request: &Request<B>) -> RequestKey {
        self(request).into()
    }
}
