//! Reads an import file: bytes in, checked schedules and readable rejects out.
//!
//! `Rows` is the one reader over both formats. It works in bounded memory, in chunks, and can
//! resume at the `Position` where a chunk ended. Every data line is accounted for exactly once, as
//! a row or as a `Reject`, whatever the chunk size and wherever a run was resumed.
//!
//! `Records` splits a CSV stream into records and `Lines` an NDJSON stream into lines, both from a
//! bounded window of it. `Header` maps the columns of a record. No module here knows where rows are
//! stored.

mod csv;
mod entry;
mod error;
mod guard;
mod header_check;
mod ndjson;
mod records;
mod rows;
mod scan;
mod window;

pub(crate) use self::csv::COLUMNS;
pub use self::csv::HeaderError;
pub use entry::Malformation;
pub use error::ImportError;
pub(crate) use guard::guarded;
pub use header_check::HeaderCheck;
pub use rows::Format;
pub use rows::Rows;
pub use tidegate_model::import::{Chunk, Position};
