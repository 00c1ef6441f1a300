//! The checked content of a schedule, and the form in which it is sent.

use chrono::{DateTime, Datelike, SubsecRound, Timelike, Utc};
use schemars::JsonSchema;
use serde::Deserialize;

use super::attendee::{self, Attendee};
use super::field::{Field, FieldErrors, Findings, Problem};
use super::recurrence::Recurrence;
use super::text::one_line;

/// Characters a title may have.
pub const MAX_TITLE_CHARS: usize = 200;

/// A schedule as it was sent. Only its shape is checked.
///
/// In JSON, `title`, `starts_at` and `ends_at` are required, unknown names are errors, `recurrence`
/// may be missing, null or empty, and `attendees` may be missing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawSchedule {
    /// Title of the schedule.
    #[schemars(length(min = 1, max = MAX_TITLE_CHARS))]
    pub title: String,
    /// RFC 3339 time with an offset.
    #[schemars(with = "DateTime<Utc>")]
    pub starts_at: String,
    /// RFC 3339 time with an offset. It is later than the start.
    #[schemars(with = "DateTime<Utc>")]
    pub ends_at: String,
    /// RFC 5545 RRULE.
    #[serde(default)]
    pub recurrence: Option<String>,
    /// E-mail addresses or names.
    #[serde(default)]
    #[schemars(length(max = attendee::MAX_ATTENDEES))]
    pub attendees: Vec<String>,
}

/// The content of a schedule that has passed every check. There is no other way to create one.
///
/// - The title is trimmed, 1 to 200 characters, without control characters.
/// - Both times are UTC, in the years 1970 to 9999, cut to whole milliseconds (the precision the
///   API shows). The end is **later** than the start, because RFC 5545 §3.8.2.2 requires that of
///   DTEND, and a search for overlaps with a period would never find an event without length.
/// - Attendees follow [`Attendee`]. At most 200 are given, and of those that differ only in case
///   the first is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScheduleDraft {
    title: String,
    starts_at: DateTime<Utc>,
    ends_at: DateTime<Utc>,
    recurrence: Option<Recurrence>,
    attendees: Vec<Attendee>,
}

impl ScheduleDraft {
    /// Checks `raw`.
    ///
    /// # Errors
    ///
    /// Every refused field, not only the first. The order of the two times is checked only if both
    /// are valid.
    pub fn try_new(raw: &RawSchedule) -> Result<Self, FieldErrors> {
        let mut findings = Findings::default();
        let title = findings.keep(Field::Title, one_line(&raw.title, MAX_TITLE_CHARS));
        let starts_at = findings.keep(Field::StartsAt, instant(&raw.starts_at));
        let ends_at = findings.keep(Field::EndsAt, instant(&raw.ends_at));
        if starts_at.zip(ends_at).is_some_and(|(start, end)| end <= start) {
            findings.note(Field::EndsAt, Problem::NotAfterStart);
        }
        // If the start was refused, the rule is checked with the earliest possible start. So one
        // response names both faults and invents none.
        let first = starts_at.unwrap_or(DateTime::UNIX_EPOCH);
        let text = raw.recurrence.as_deref().map(str::trim).filter(|text| !text.is_empty());
        let rule = text.map(|text| Recurrence::try_new(text, first)).transpose();
        let recurrence = findings.keep(Field::Recurrence, rule).flatten();
        let attendees = attendee::check_all(&raw.attendees, &mut findings);

        let accepted = findings.is_empty();
        let (Some(title), Some(starts_at), Some(ends_at), true) = (title, starts_at, ends_at, accepted) else {
            return Err(findings.into_errors());
        };
        Ok(Self { title: title.to_owned(), starts_at, ends_at, recurrence, attendees })
    }

    /// Returns the title.
    pub fn title(&self) -> &str {
        &self.title
    }

    /// When the first occurrence starts.
    pub fn starts_at(&self) -> DateTime<Utc> {
        self.starts_at
    }

    /// When the first occurrence ends; later than [`starts_at`](Self::starts_at).
    pub fn ends_at(&self) -> DateTime<Utc> {
        self.ends_at
    }

    /// How it recurs; `None` if it happens once.
    pub fn recurrence(&self) -> Option<&Recurrence> {
        self.recurrence.as_ref()
    }

    /// Returns the attendees, in the order given and without duplicates.
    pub fn attendees(&self) -> &[Attendee] {
        &self.attendees
    }
}

/// Parses an RFC 3339 time. A leap second is refused, because chrono's UTC cannot represent it.
///
/// # Errors
///
/// If the text is not such a time.
pub fn instant(text: &str) -> Result<DateTime<Utc>, Problem> {
    let time = DateTime::parse_from_rfc3339(text.trim()).map_err(|_| Problem::NotRfc3339)?;
    if time.nanosecond() >= 1_000_000_000 {
        return Err(Problem::NotRfc3339);
    }
    let time = time.with_timezone(&Utc).trunc_subsecs(3);
    if (1970..=9999).contains(&time.year()) { Ok(time) } else { Err(Problem::YearOutOfRange) }
}

#[cfg(test)]
#[path = "draft_tests.rs"]
mod tests;
