//! Which tally of a series counts which outcome.

use crate::outcome::status::StatusClass;

/// Aborted requests and cancelled runs; the five status classes come before.
pub(crate) const ABORTED: usize = 5;
/// Refused requests. Like aborted ones they are no samples.
pub(crate) const REFUSED: usize = 6;
/// Runs that finished. Runs use the tallies of three status classes; the other two stay empty.
pub(crate) const FINISHED: usize = StatusClass::Success as usize;
/// Runs that ended with an error.
pub(crate) const FAILED: usize = StatusClass::ClientError as usize;
/// Runs that panicked.
pub(crate) const PANICKED: usize = StatusClass::ServerError as usize;
