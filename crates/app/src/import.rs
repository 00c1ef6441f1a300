//! Reading an import file: bytes in, checked schedules and readable rejects out.
//!
//! [`Rows`] is the one reader over both formats. It works in bounded memory, in chunks, and can
//! start again at the [`Position`] where a chunk ended. Every data line is accounted for exactly
//! once: as a row or as a [`Reject`], whatever the chunk size and wherever a run was resumed.
//!
//! Inside: [`Records`] cuts a CSV stream into records and [`Lines`] an NDJSON stream into lines,
//! both from a bounded window of it; [`Header`] maps the columns of a record. Nothing here knows
//! where rows are stored.

mod csv;
mod entry;
mod error;
mod ndjson;
mod records;
mod reject;
mod rows;
mod scan;
mod window;

pub use self::csv::{COLUMNS, Header, HeaderError};
pub use entry::{Entry, Malformation, Malformed, Record};
pub use error::ImportError;
pub use ndjson::Lines;
pub use records::Records;
pub use reject::{MAX_REASON_CHARS, Reject};
pub use rows::{Chunk, Format, Rows};
pub use window::{Position, RECORD_CAP};
