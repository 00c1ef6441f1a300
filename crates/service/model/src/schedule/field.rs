//! The invalid field of a schedule, and the reason.

use std::fmt;

use super::recurrence::RecurrenceError;

/// A field of a schedule, named as JSON and CSV name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Field {
    /// `title`
    Title,
    /// `starts_at`
    StartsAt,
    /// `ends_at`
    EndsAt,
    /// `recurrence`
    Recurrence,
    /// `attendees`, the list as a whole
    Attendees,
    /// One entry of `attendees`, counted from zero; shown as `attendees[3]`.
    Attendee(usize),
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Title => f.write_str("title"),
            Self::StartsAt => f.write_str("starts_at"),
            Self::EndsAt => f.write_str("ends_at"),
            Self::Recurrence => f.write_str("recurrence"),
            Self::Attendees => f.write_str("attendees"),
            Self::Attendee(index) => write!(f, "attendees[{index}]"),
        }
    }
}

/// Why a field was refused. The text never repeats more than 512 bytes of what was sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Problem {
    /// Nothing is left once surrounding white space is removed.
    #[error("is empty")]
    Empty,
    /// More characters (Unicode scalar values) than the field may have.
    #[error("has {found} characters, at most {max} are allowed")]
    TooLong {
        /// Characters allowed.
        max: usize,
        /// Characters found.
        found: usize,
    },
    /// More entries than the list may have.
    #[error("has {found} entries, at most {max} are allowed")]
    TooMany {
        /// Entries allowed.
        max: usize,
        /// Entries found, repeated ones included.
        found: usize,
    },
    /// A control character (NUL and line breaks among them) or a Unicode line separator.
    #[error("contains the control character U+{:04X}", u32::from(*.0))]
    ControlCharacter(char),
    /// A `;` in an attendee, which the CSV form could not distinguish from a separator.
    #[error("contains ';', which separates attendees")]
    Semicolon,
    /// An attendee with `@` that is not of the form `local@domain`.
    #[error("contains '@' but is not an e-mail address")]
    NotAnAddress,
    /// Not a date and time of RFC 3339 with an offset, or a leap second.
    #[error("is not an RFC 3339 time with an offset, such as 2026-03-01T09:00:00Z")]
    NotRfc3339,
    /// The year, in UTC, is outside 1970..=9999.
    #[error("is outside the years 1970 to 9999 (UTC)")]
    YearOutOfRange,
    /// `ends_at` is not later than `starts_at`.
    #[error("is not later than starts_at")]
    NotAfterStart,
    /// The recurrence rule was refused.
    #[error(transparent)]
    Recurrence(#[from] RecurrenceError),
}

/// One refused field.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {problem}")]
pub struct FieldError {
    /// Which field.
    pub field: Field,
    /// The reason.
    pub problem: Problem,
}

/// Every refused field of one schedule, in the order title, `starts_at`, `ends_at`, recurrence,
/// attendees. Never empty; at most 205 entries. Displays as `title: is empty; ends_at: …`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldErrors(Vec<FieldError>);

impl FieldErrors {
    /// The errors in field order.
    pub fn iter(&self) -> std::slice::Iter<'_, FieldError> {
        self.0.iter()
    }
}

impl<'a> IntoIterator for &'a FieldErrors {
    type Item = &'a FieldError;
    type IntoIter = std::slice::Iter<'a, FieldError>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl fmt::Display for FieldErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, error) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("; ")?;
            }
            write!(f, "{error}")?;
        }
        Ok(())
    }
}

impl std::error::Error for FieldErrors {}

/// Collects the errors of one schedule while its fields are checked.
#[derive(Debug, Default)]
pub(super) struct Findings(Vec<FieldError>);

impl Findings {
    /// Records that `field` is refused because of `problem`.
    pub(super) fn note(&mut self, field: Field, problem: impl Into<Problem>) {
        self.0.push(FieldError { field, problem: problem.into() });
    }

    /// Returns the value of a check that passed. Records the problem of one that failed.
    pub(super) fn keep<T, P: Into<Problem>>(&mut self, field: Field, checked: Result<T, P>) -> Option<T> {
        checked.map_err(|problem| self.note(field, problem)).ok()
    }

    /// Whether no field was refused.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the recorded errors. Call it only if there is at least one.
    pub(super) fn into_errors(self) -> FieldErrors {
        FieldErrors(self.0)
    }
}
