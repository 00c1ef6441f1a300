//! The key with which a request is counted.

use compact_str::{CompactString, format_compact};
use http::Request;

use super::network_of;
use crate::layer::Rejection;

/// Prefix of a text that would otherwise be read as an address.
const TEXT: &str = "text:";

/// The result of a key extractor: a key, no key, or a reason for a refusal.
///
/// Keys of up to 24 bytes need no allocation.
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
    /// Counts the request with `text` as its key.
    ///
    /// A text that parses as an address or a network becomes `text:10.0.0.1`. A client therefore
    /// cannot send a text that [`KeyLists`](crate::KeyLists), or a limiter that also counts
    /// addresses, reads as that address. A text that already begins with `text:` gets the prefix
    /// once more. For an address that the server itself determined, use
    /// [`verbatim`](Self::verbatim).
    pub fn new(text: impl AsRef<str>) -> Self {
        Self::text(CompactString::from(text.as_ref()))
    }

    /// Counts the request with `text` as its key, unchanged, for example the result of
    /// [`key_for`](crate::key_for). Do not use it for a text that a client wrote.
    pub fn verbatim(text: impl AsRef<str>) -> Self {
        Self::short(CompactString::from(text.as_ref()))
    }

    pub(super) fn text(text: CompactString) -> Self {
        let is_taken = text.starts_with(TEXT) || network_of(&text).is_some();
        Self::short(if is_taken { format_compact!("{TEXT}{text}") } else { text })
    }

    pub(super) const fn short(text: CompactString) -> Self {
        Self(Kind::Counted(text))
    }

    /// Admits the request without counting it.
    pub const fn uncounted() -> Self {
        Self(Kind::Uncounted)
    }

    /// Refuses the request as invalid. `reason` is sent to the client.
    pub const fn bad(reason: &'static str) -> Self {
        Self(Kind::Bad(reason))
    }

    /// Refuses the request because the server itself lacks the data for the key. The client gets a
    /// 500 without details. `reason` is logged once.
    pub const fn unavailable(reason: &'static str) -> Self {
        Self(Kind::Unavailable(reason))
    }

    /// The key. `None` if there is none.
    pub fn as_str(&self) -> Option<&str> {
        match &self.0 {
            Kind::Counted(text) => Some(text),
            _ => None,
        }
    }

    /// Whether the request is admitted without being counted.
    pub const fn is_uncounted(&self) -> bool {
        matches!(self.0, Kind::Uncounted)
    }

    /// The reason, if the request is refused as invalid.
    pub const fn bad_reason(&self) -> Option<&'static str> {
        match self.0 {
            Kind::Bad(reason) => Some(reason),
            _ => None,
        }
    }

    /// The reason, if the server lacks the data for the key.
    pub const fn unavailable_reason(&self) -> Option<&'static str> {
        match self.0 {
            Kind::Unavailable(reason) => Some(reason),
            _ => None,
        }
    }

    /// The reason for a refusal without a call to a limiter. `None` if there is none.
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

/// `None` is [uncounted](RequestKey::uncounted).
impl<T: Into<Self>> From<Option<T>> for RequestKey {
    fn from(key: Option<T>) -> Self {
        key.map_or(Self::uncounted(), Into::into)
    }
}

/// Determines the key with which a request is counted.
///
/// A function from a request to any type that converts to a [`RequestKey`], such as
/// `Option<String>`, is an extractor.
pub trait KeyExtractor<B> {
    /// Returns the key.
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
