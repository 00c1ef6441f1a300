//! What a report is about, and of which time.

use std::fmt;
use std::ops::Range;

use chrono::{DateTime, Datelike, Days, NaiveDate, NaiveTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use tidegate_model::schedule::instant;

/// Days that one report may tell of: a leap year.
pub const LONGEST_DAYS: i64 = 366;

/// What a report tells of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ReportKind {
    /// The schedules that start within the span: by day, by title, by attendee.
    Schedules,
    /// What the tenant did on each day of the span.
    Usage,
}

impl ReportKind {
    /// Every one.
    pub const ALL: [Self; 2] = [Self::Schedules, Self::Usage];

    /// Its stable word.
    pub fn name(self) -> &'static str {
        match self {
            Self::Schedules => "schedules",
            Self::Usage => "usage",
        }
    }
}

/// The time that a report tells of: from its start on and before its end.
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
    /// It is too far behind `from`.
    #[error("is more than {LONGEST_DAYS} days later than `from`")]
    TooLong,
    /// What is counted by day is not known of parts of one.
    #[error("is not the beginning of a day in UTC, and a report of this kind counts whole days")]
    WithinDay,
}

/// Every refused field of a span, by name. Never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpanErrors(Vec<(&'static str, SpanError)>);

impl SpanErrors {
    /// The fields, each with what is wrong with it.
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
    /// Reads two texts, each a day, which stands for its beginning in UTC, or a time.
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

    /// The span between these times.
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

    /// When it begins.
    pub fn from(&self) -> DateTime<Utc> {
        self.from
    }

    /// When it ends.
    pub fn to(&self) -> DateTime<Utc> {
        self.to
    }

    /// From when on and before when.
    pub fn range(&self) -> Range<DateTime<Utc>> {
        self.from..self.to
    }

    /// Its last day in UTC, which it may hold a part of.
    pub fn last_day(&self) -> NaiveDate {
        (self.to - TimeDelta::milliseconds(1)).date_naive()
    }

    /// Each of its days in UTC.
    pub fn days(&self) -> impl Iterator<Item = NaiveDate> + use<> {
        let last = self.last_day();
        std::iter::successors(Some(self.from.date_naive()), |day| day.checked_add_days(Days::new(1)))
            .take_while(move |day| *day <= last)
    }
}

fn time(text: &str) -> Option<DateTime<Utc>> {
    let text = text.trim();
    // Years of four digits and no sign.
    if text.len() == 10 && text.starts_with(|first: char| first.is_ascii_digit()) {
        let day = NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()?;
        return (1970..=9999).contains(&day.year()).then(|| day.and_time(NaiveTime::MIN).and_utc());
    }
    instant(text).ok()
}
