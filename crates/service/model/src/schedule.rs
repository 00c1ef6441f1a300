//! The valid content of a schedule. [`RawSchedule`] comes from outside, [`ScheduleDraft`] has
//! passed every check.
//!
//! The JSON API and both import formats share one set of rules, so that a row refused by an import
//! is refused by the API for the same reason. Everything here is pure: no clock, no I/O.

mod attendee;
mod draft;
mod field;
mod occurrences;
mod recurrence;
mod text;

pub use attendee::{Attendee, MAX_ATTENDEE_CHARS, MAX_ATTENDEES};
pub use draft::instant;
pub use draft::{MAX_TITLE_CHARS, RawSchedule, ScheduleDraft};
pub use field::{Field, FieldError, FieldErrors, Problem};
pub use occurrences::{NoOccurrences, Occurrences, occurrences};
pub use recurrence::{MAX_RULE_BYTES, MAX_TIMES_A_DAY, Recurrence, RecurrenceError};
