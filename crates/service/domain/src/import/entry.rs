//! The pieces of a stream: records, or bytes that are not a record.

use tidegate_model::import::Position;

/// One well-formed record of a stream, or one malformed piece of it.
///
/// The pieces do not overlap. Between them are only blank lines and possibly a byte order mark.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Entry<T> {
    /// A record with its content.
    Record(Record<T>),
    /// A piece that is not a record.
    Malformed(Malformed),
}

/// A well-formed record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Record<T> {
    /// Start of the record. Its line number is the one that a user would look up in the file.
    pub(crate) start: Position,
    /// Start of the next record.
    pub(crate) end: Position,
    /// The fields of a CSV record, or the text of a line.
    pub(crate) content: T,
}

/// A piece of the stream that is not a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Malformed {
    /// Start of the piece.
    pub(crate) start: Position,
    /// Position at which reading continues.
    pub(crate) end: Position,
    /// Why it is not a record.
    pub(crate) reason: Malformation,
}

/// Why a piece of a stream is not a record.
///
/// If the **structure** is broken, the intended end of the record is unknown. Only its first line
/// is rejected, and reading continues at the next line, so that one stray quote cannot swallow the
/// file. If the structure is valid but the content is not (NUL, not UTF-8), the whole record is
/// rejected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum Malformation {
    /// Structure: a quote inside a field that does not start with one.
    #[error("has a quote inside an unquoted field; write the field as \"…\" and double its quotes")]
    QuoteInField,
    /// Structure: something other than a comma or a line end after the closing quote of a field.
    #[error("has text after the closing quote of a field")]
    TextAfterQuote,
    /// Structure: a quoted field that is not closed before the end of the file or within the cap.
    #[error("opens a quote that is not closed within 64 KiB or before the end of the file")]
    UnclosedQuote,
    /// Structure: a carriage return outside quotes that no line feed follows.
    #[error("has a carriage return that is not part of a line ending")]
    BareCarriageReturn,
    /// Structure: more bytes than a record may have.
    #[error("is longer than 64 KiB")]
    TooLong,
    /// Content: a NUL byte, often a sign of UTF-16.
    #[error("holds a NUL byte (the file must be UTF-8)")]
    NulByte,
    /// Content: bytes that are not UTF-8.
    #[error("is not UTF-8")]
    NotUtf8,
}

/// Checks what both formats require of the bytes of a record.
pub(super) fn text_of(bytes: &[u8]) -> Result<&str, Malformation> {
    if bytes.contains(&0) {
        return Err(Malformation::NulByte);
    }
    std::str::from_utf8(bytes).map_err(|_| Malformation::NotUtf8)
}
