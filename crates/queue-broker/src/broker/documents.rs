//! Documents: small named texts with compare-and-set. Schedules and groups are stored as documents.

use async_trait::async_trait;

use crate::error::BrokerError;

/// Largest body, in bytes.
pub(crate) const DOCUMENT_LIMIT: usize = 64 << 10;

/// A small named text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    /// Grows with each change. Two successive bodies under one name never have the same revision.
    pub revision: u64,
    /// The text.
    pub body: String,
}

/// A store of documents in collections. This crate chooses and checks the names and collections.
#[async_trait]
pub trait Documents: Send + Sync {
    /// Reads a document.
    ///
    /// # Errors
    /// A store error.
    async fn document(&self, collection: &str, name: &str) -> Result<Option<Document>, BrokerError>;

    /// Writes `body` (at most 64 KiB), or removes the document with `None`, if its revision is
    /// still `expected`. An `expected` of `None` means that the document must not exist. Returns
    /// whether it was written or removed.
    ///
    /// # Errors
    /// [`BrokerError::TooLarge`], or a store error.
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
    /// A store error.
    async fn documents(&self, collection: &str) -> Result<Vec<(String, Document)>, BrokerError>;
}

/// Returns an error for a body above the limit.
pub(crate) fn check_body(body: Option<&str>) -> Result<(), BrokerError> {
    check_size("document", body.unwrap_or_default(), DOCUMENT_LIMIT)
}

/// Returns an error for a text above its limit.
pub(crate) fn check_size(what: &'static str, text: &str, limit: usize) -> Result<(), BrokerError> {
    if text.len() > limit { Err(BrokerError::TooLarge { what, bytes: text.len(), limit }) } else { Ok(()) }
}
