//! Small named texts beside the queues, changed by compare-and-set: what schedules and groups are kept as.

use async_trait::async_trait;

use crate::error::BrokerError;

/// Largest body, in bytes.
pub(crate) const DOCUMENT_LIMIT: usize = 64 << 10;

/// A small named text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    /// Grows with each change; never the same for two bodies that had the name one after the other.
    pub revision: u64,
    /// The text.
    pub body: String,
}

/// A store of small named texts in collections. Names and collections are chosen by this crate and checked before.
#[async_trait]
pub trait Documents: Send + Sync {
    /// Reads one.
    ///
    /// # Errors
    /// A failing store.
    async fn document(&self, collection: &str, name: &str) -> Result<Option<Document>, BrokerError>;

    /// Writes `body` (64 KiB at most), or removes with `None`, if the revision is still `expected`, where `None` means that there is no such
    /// document. Returns whether it was.
    ///
    /// # Errors
    /// [`BrokerError::TooLarge`], or a failing store.
    async fn put_document(
        &self,
        collection: &str,
        name: &str,
        expected: Option<u64>,
        body: Option<String>,
    ) -> Result<bool, BrokerError>;

    /// Reads a whole collection, sorted by name.
    ///
    /// # Errors
    /// A failing store.
    async fn documents(&self, collection: &str) -> Result<Vec<(String, Document)>, BrokerError>;
}

/// Refuses a body that no store takes.
pub(crate) fn check_body(body: Option<&str>) -> Result<(), BrokerError> {
    check_size("document", body.unwrap_or_default(), DOCUMENT_LIMIT)
}

/// Refuses a text above its limit.
pub(crate) fn check_size(what: &'static str, text: &str, limit: usize) -> Result<(), BrokerError> {
    if text.len() > limit { Err(BrokerError::TooLarge { what, bytes: text.len(), limit }) } else { Ok(()) }
}
