//! Converts the columns of a CSV record to a schedule.

use std::fmt;
use std::io::Read;

use tidegate_model::import::Position;
use tidegate_model::import::{Reject, clip};
use tidegate_model::schedule::{RawSchedule, ScheduleDraft};

use super::entry::{Entry, Malformation, Malformed, Record};
use super::error::ImportError;
use super::guard::unguarded;
use super::records::Records;

/// The columns of the CSV form. A file has each of them once, in any order, and no others.
pub(crate) const COLUMNS: [&str; 5] = ["title", "starts_at", "ends_at", "recurrence", "attendees"];

/// How many unknown columns an error names, and how many characters of each.
const NAMED_UNKNOWN: usize = 5;
const NAME_CHARS: usize = 40;

/// Position of each of [`COLUMNS`] in the records of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Header {
    places: [usize; COLUMNS.len()],
    end: Position,
}

/// Why the first record of a file is not a header. The text has fewer than 400 characters.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HeaderError {
    /// The file contains only blank lines.
    #[error("the file is empty; its first line must name the columns {}", COLUMNS.join(","))]
    Missing,
    /// The first record is not a CSV record.
    #[error("line {line}, the header, {reason}")]
    Malformed {
        /// Its line in the file.
        line: u64,
        /// The reason.
        reason: Malformation,
    },
    /// The names are not those of `COLUMNS`.
    #[error("the header {}", Faults { missing, unknown, duplicated })]
    Columns {
        /// Missing columns.
        missing: Vec<&'static str>,
        /// Unknown columns: the first five, cut to 40 characters.
        unknown: Vec<String>,
        /// Columns that are named more than once.
        duplicated: Vec<&'static str>,
    },
}

impl Header {
    /// Reads the header from the start of a file.
    ///
    /// # Errors
    ///
    /// [`ImportError::Header`] if the first record is not a header, [`ImportError::Io`] if it
    /// cannot be read.
    pub(crate) fn read(reader: impl Read) -> Result<Self, ImportError> {
        let first = Records::new(reader, Position::START).next().transpose()?;
        Ok(Self::of_entry(first)?)
    }

    fn of_entry(first: Option<Entry<Vec<String>>>) -> Result<Self, HeaderError> {
        let record = match first {
            None => return Err(HeaderError::Missing),
            Some(Entry::Record(record)) => record,
            Some(Entry::Malformed(Malformed { start, reason, .. })) => {
                return Err(HeaderError::Malformed { line: start.line, reason });
            }
        };
        // Only spaces: a name with a line break stays unknown, so one line is enough to decide.
        let names: Vec<&str> = record.content.iter().map(|name| name.trim_matches(' ')).collect();
        let count = |column: &str| names.iter().filter(|name| **name == column).count();
        let missing: Vec<_> = COLUMNS.into_iter().filter(|column| count(column) == 0).collect();
        let duplicated: Vec<_> = COLUMNS.into_iter().filter(|column| count(column) > 1).collect();
        let unknown: Vec<_> = names
            .iter()
            .filter(|name| !COLUMNS.contains(name))
            .take(NAMED_UNKNOWN)
            .map(|name| clip(name, NAME_CHARS))
            .collect();
        let places = COLUMNS.map(|column| names.iter().position(|name| *name == column));
        match places {
            [Some(a), Some(b), Some(c), Some(d), Some(e)] if names.len() == COLUMNS.len() => {
                Ok(Self { places: [a, b, c, d, e], end: record.end })
            }
            _ => Err(HeaderError::Columns { missing, unknown, duplicated }),
        }
    }

    /// Returns the position of the first data record.
    pub(super) fn end(&self) -> Position {
        self.end
    }

    /// Checks a record: it must have as many fields as the header, and a valid schedule in them.
    ///
    /// Empty entries of `attendees` are ignored (`a;;b;`), because spreadsheets leave them behind.
    /// The apostrophe that keeps a spreadsheet from running a cell or an entry as a formula is
    /// removed.
    ///
    /// # Errors
    ///
    /// A [`Reject`] with the record's first line and all faults of the record.
    pub(crate) fn draft(&self, record: &Record<Vec<String>>) -> Result<ScheduleDraft, Reject> {
        let (line, fields) = (record.start.line, &record.content);
        if fields.len() != COLUMNS.len() {
            let reason = format_args!("has {} columns, not {}", fields.len(), COLUMNS.len());
            return Err(Reject::new(line, reason));
        }
        let [title, starts_at, ends_at, recurrence, attendees] = self.places.map(|place| &fields[place]);
        let raw = RawSchedule {
            title: unguarded(title).to_owned(),
            starts_at: starts_at.to_owned(),
            ends_at: ends_at.to_owned(),
            recurrence: Some(recurrence.to_owned()),
            attendees: attendees
                .split(';')
                .map(unguarded)
                .filter(|attendee| !attendee.trim().is_empty())
                .map(str::to_owned)
                .collect(),
        };
        ScheduleDraft::try_new(&raw).map_err(|errors| Reject::new(line, errors))
    }
}

/// Shows what is wrong with the names of the columns, and omits the rest.
struct Faults<'a> {
    missing: &'a [&'static str],
    unknown: &'a [String],
    duplicated: &'a [&'static str],
}

impl fmt::Display for Faults<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unknown: Vec<_> = self.unknown.iter().map(String::as_str).collect();
        let mut separator = "";
        for (what, names) in [("lacks", self.missing), ("repeats", self.duplicated), ("has the unknown", &unknown)] {
            if !names.is_empty() {
                write!(f, "{separator}{what} {}", names.join(", "))?;
                separator = "; ";
            }
        }
        Ok(())
    }
}

#[cfg(test)]
#[path = "csv_tests.rs"]
mod tests;
