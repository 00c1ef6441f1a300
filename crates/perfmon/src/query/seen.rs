//! A statement that has run.

use std::time::Duration;

use super::dialect::Dialect;
use super::repeated::RequestQueries;
use crate::request::trace_context::TraceContext;

/// One statement that has run. It can't be printed: `sql` may hold secrets.
#[derive(Clone, Copy)]
pub struct Seen<'a> {
    /// As it was written, literals and all. Nothing of it is kept but its shape.
    pub sql: &'a str,
    /// Dialect of the statement.
    pub dialect: Dialect,
    /// How long it took.
    pub elapsed: Duration,
    /// How many rows it gave or changed.
    pub rows: u64,
    /// When it ended, in milliseconds since the Unix epoch.
    pub at_unix_ms: u64,
    /// The request it ran for.
    pub within: Option<&'a RequestQueries>,
    /// The trace it ran in.
    pub trace: Option<TraceContext>,
}
