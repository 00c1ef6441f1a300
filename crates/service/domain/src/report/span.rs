//! The kind of a report, and the time it covers.

use std::fmt;
use std::ops::Range;

use chrono::{DateTime, Datelike, Days, NaiveDate, NaiveTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use tidegate_model::schedule::instant;

/// Maximum number of days in a report: a leap year.
pub const LONGEST_DAYS: i64 = 366;

/// Kind of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ReportKind {
    /// The schedules that start within the span: by day, by title, by attendee.
    Schedules,
    /// The tenant's usage on each day of the span.
    Usage,
}

impl ReportKind {
    /// All kinds.
    pub const ALL: [Self; 2] = [Self::Schedules, Self::Usage];

    /// Returns its stable name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Schedules => "schedules",
            Self::Usage => "usage",
        }
    }
}

/// The time that a report covers, including its start and without its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Span {
    from: DateTime<Utc>,
    to: DateTime<Utc>,
}

/// Why a field of a span was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SpanError {
    /// Neither a day nor a time.
    #[error("is neither a day, such as 2030-01-31, nor an RFC 3339 time with an offset in the years 1970 to 9999")]
    NotATime,
    /// It is not later than `from`.
    #[error("is not later than `from`")]
    NotAfter,
    /// It is too much later than `from`.
    #[error("is more than {LONGEST_DAYS} days later than `from`")]
    TooLong,
    /// Daily counts cannot be split within a day.
    #[error("is not the beginning of a day in UTC, and a report of this kind counts whole days")]
    WithinDay,
}

/// Every refused field of a span, by name. Never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpanErrors(Vec<(&'static str, SpanError)>);

impl SpanErrors {
    /// Returns the fields, each with its error.
    pub fn iter(&self) -> impl Iterator<Item = &(&'static str, SpanError)> {
        self.0.iter()
    }
}

impl fmt::Display for SpanErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (field, error)) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("; ")?;
            }
            write!(f, "{field}: {error}")?;
        }
        Ok(())
    }
}

impl std::error::Error for SpanErrors {}

impl Span {
    /// Parses two texts. Each is a time, or a day, which means its beginning in UTC.
    ///
    /// # Errors
    ///
    /// Every refused field.
    pub fn read(kind: ReportKind, from: &str, to: &str) -> Result<Self, SpanErrors> {
        match (time(from), time(to)) {
            (Some(from), Some(to)) => Self::try_new(kind, from, to),
            (from, to) => {
                let bad = [("from", from), ("to", to)].into_iter().filter(|(_, time)| time.is_none());
                Err(SpanErrors(bad.map(|(field, _)| (field, SpanError::NotATime)).collect()))
            }
        }
    }

    /// Returns the span between these times.
    ///
    /// # Errors
    ///
    /// Every refused field.
    pub fn try_new(kind: ReportKind, from: DateTime<Utc>, to: DateTime<Utc>) -> Result<Self, SpanErrors> {
        let fields = [("from", from), ("to", to)];
        let mut errors: Vec<_> = fields
            .into_iter()
            .filter_map(|(field, time)| {
                if !(1970..=9999).contains(&time.year()) {
                    return Some((field, SpanError::NotATime));
                }
                (kind == ReportKind::Usage && time.time() != NaiveTime::MIN).then_some((field, SpanError::WithinDay))
            })
            .collect();
        if to <= from {
            errors.push(("to", SpanError::NotAfter));
        } else if to - from > TimeDelta::days(LONGEST_DAYS) {
            errors.push(("to", SpanError::TooLong));
        }
        if errors.is_empty() { Ok(Self { from, to }) } else { Err(SpanErrors(errors)) }
    }

    /// Returns its start.
    pub fn from(&self) -> DateTime<Utc> {
        self.from
    }

    /// Returns its end.
    pub fn to(&self) -> DateTime<Utc> {
        self.to
    }

    /// Returns it as a range.
    pub fn range(&self) -> Range<DateTime<Utc>> {
        self.from..self.to
    }

    /// Returns its last day in UTC, which it may contain only in part.
    pub fn last_day(&self) -> NaiveDate {
        (self.to - TimeDelta::milliseconds(1)).date_naive()
    }

    /// Returns each of its days in UTC.
    pub fn days(&self) -> impl Iterator<Item = NaiveDate> + use<> {
        let last = self.last_day();
        std::iter::successors(Some(self.from.date_naive()), |day| day.checked_add_days(Days::new(1)))
            .take_while(move |day| *day <= last)
    }
}

fn time(text: &str) -> Option<DateTime<Utc>> {
    let text = text.trim();
    // A year of four digits without a sign.
    if text.len() == 10 && text.starts_with(|first: char| first.is_ascii_digit()) {
        let day = NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()?;
        return (1970..=9999).contains(&day.year()).then(|| day.and_time(NaiveTime::MIN).and_utc());
    }
    instant(text).ok()
}
