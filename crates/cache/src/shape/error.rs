//! Errors of shapes.

/// Reason why an operation on a shape was not done.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ShapeError {
    /// The hash or set has the maximum number of fields or members. Nothing was changed.
    #[error("a key holds {limit} fields or members at most")]
    Full {
        /// The maximum number.
        limit: usize,
    },
    /// The bit is above the highest that is allowed.
    #[error("bit {bit} is above the highest, {highest}")]
    TooHigh {
        /// The requested bit.
        bit: u32,
        /// The highest bit.
        highest: u32,
    },
    /// The counter would leave the range of `i64`. Nothing was changed.
    #[error("the counter would leave the range of 64 bits")]
    Overflow,
    /// The score, or an increment's sum, is beyond 2^53 - 1 or its negative: nothing changed.
    #[error("a score lies between -9007199254740991 and 9007199254740991")]
    Score,
    /// The text is not a [`ScoreCursor`](crate::ScoreCursor).
    #[error("the text is not a cursor of a sorted set")]
    Cursor,
    /// A field's or member's text is too long.
    #[error("{length} bytes are more than the {limit} of a field or member")]
    TooLong {
        /// Length in bytes.
        length: usize,
        /// The maximum length in bytes.
        limit: usize,
    },
    /// A value could not be encoded, or bytes not decoded.
    #[cfg(feature = "redis")]
    #[error(transparent)]
    Codec(#[from] tidegate_cache_tiers::CodecError),
    /// Redis could not be reached, or refused.
    #[cfg(feature = "redis")]
    #[error(transparent)]
    Redis(#[from] tidegate_redis::Error),
}
