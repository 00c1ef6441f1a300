//! Reports on a tenant's schedules: the request, the content, and the formats.
//!
//! This module does no I/O. `jobs/report.rs` of `tidegate-node` lets the database compute the
//! figures, and writes the report into files.

mod content;
mod page;
mod schedules;
mod span;
mod table;
mod tops;
mod usage;

pub use content::{Figure, Heading, Line, Report, Section};
pub use page::page;
pub use schedules::ScheduleSums;
pub use span::{LONGEST_DAYS, ReportKind, Span, SpanError, SpanErrors};
pub use table::table;
pub use usage::usage;

#[cfg(test)]
mod tests;
