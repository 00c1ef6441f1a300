//! How a schedule recurs: a checked RFC 5545 recurrence rule.

use std::fmt;

use chrono::{DateTime, Utc};
use rrule::{RRule, RRuleError, Unvalidated};

/// Bytes a rule may have, without its `RRULE:` prefix.
pub const MAX_RULE_BYTES: usize = 512;

/// Maximum product of the numbers of `BYHOUR`, `BYMINUTE` and `BYSECOND` values in a rule: once a
/// minute.
///
/// Code that expands a rule holds all its times of one period at once. 24 × 60 × 60 of them on
/// every day of a year would be 31 million, from a rule of 400 bytes.
pub const MAX_TIMES_A_DAY: usize = 24 * 60;

/// The parts of RFC 5545. The `rrule` crate knows a few more names.
const PART_NAMES: [&str; 14] = [
    "FREQ",
    "UNTIL",
    "COUNT",
    "INTERVAL",
    "BYSECOND",
    "BYMINUTE",
    "BYHOUR",
    "BYDAY",
    "BYMONTHDAY",
    "BYYEARDAY",
    "BYWEEKNO",
    "BYMONTH",
    "BYSETPOS",
    "WKST",
];

/// A rule that is valid for the start it was checked with.
///
/// It is kept as written, in upper case and without the `RRULE:` prefix, with its parts in order.
/// (The `rrule` crate's own output is not used: it writes `1MO`, the first Monday, as `MO`, every
/// Monday.) A schedule uses only UTC, so a rule's hours and days are those of UTC. `UNTIL` must be
/// a UTC time, as RFC 5545 §3.3.10 requires if the start is one.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Recurrence(String);

/// Why a rule was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RecurrenceError {
    /// More than [`MAX_RULE_BYTES`].
    #[error("is longer than {MAX_RULE_BYTES} bytes")]
    TooLong,
    /// A character no rule has: only ASCII letters, digits and `=;,+-` occur.
    #[error("contains {0:?}, which no RRULE has")]
    Character(char),
    /// A part that is not `NAME=value`, or has no value.
    #[error("has a part {0:?} that is not NAME=value")]
    Part(String),
    /// A part RFC 5545 does not know.
    #[error("has an unknown part {0}")]
    UnknownPart(String),
    /// Both `COUNT` and `UNTIL`.
    #[error("has both COUNT and UNTIL")]
    CountAndUntil,
    /// `COUNT` or `INTERVAL` is zero: the rule would never occur, or never advance.
    #[error("has {0}=0")]
    Zero(&'static str),
    /// `UNTIL` is not a UTC date-time.
    #[error("has an UNTIL that is not a UTC time such as 20261231T235959Z")]
    UntilNotUtc,
    /// An entry of `BYDAY` that is not a weekday with an optional number from 1 to 53.
    #[error("has {0:?} in BYDAY; MO, 1MO and -1MO are the forms")]
    Day(String),
    /// A numbered `BYDAY` outside `MONTHLY` and `YEARLY`, or beside `BYWEEKNO`.
    #[error("has a numbered BYDAY, which needs FREQ=MONTHLY or YEARLY and no BYWEEKNO")]
    NumberedDay,
    /// `BYSETPOS` alone, without a set to select from.
    #[error("has BYSETPOS without another BY part")]
    LonePosition,
    /// More than [`MAX_TIMES_A_DAY`].
    #[error("names {found} times of day, at most {MAX_TIMES_A_DAY} are allowed")]
    TooManyTimes {
        /// Hours × minutes × seconds named.
        found: usize,
    },
    /// A value, or a combination of parts, that the `rrule` crate refuses; `BYSECOND=60` among
    /// them.
    #[error(transparent)]
    Rule(#[from] RRuleError),
}

impl Recurrence {
    /// Checks the rule `text`, with or without the prefix `RRULE:`, for a schedule that starts at
    /// `starts_at`.
    ///
    /// The cost is linear in the length of `text`, which is capped; no occurrence is computed.
    ///
    /// # Errors
    ///
    /// The first fault found; see [`RecurrenceError`].
    pub fn try_new(text: &str, starts_at: DateTime<Utc>) -> Result<Self, RecurrenceError> {
        let rule = without_prefix(text.trim());
        if rule.len() > MAX_RULE_BYTES {
            return Err(RecurrenceError::TooLong);
        }
        // This comes before the crate parses the rule, because it cuts weekdays at byte positions
        // and would panic inside a character of two bytes.
        if let Some(c) = rule.chars().find(|&c| !is_rule_character(c)) {
            return Err(RecurrenceError::Character(c));
        }
        let rule = rule.to_ascii_uppercase();
        Parts::split(&rule)?.check()?;
        let parsed: RRule<Unvalidated> = rule.parse()?;
        parsed.validate(starts_at.with_timezone(&rrule::Tz::UTC))?;
        Ok(Self(rule))
    }

    /// The rule, such as `FREQ=WEEKLY;BYDAY=MO`, without a prefix.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Recurrence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn without_prefix(text: &str) -> &str {
    const PREFIX: &str = "RRULE:";
    match text.get(..PREFIX.len()) {
        Some(head) if head.eq_ignore_ascii_case(PREFIX) => &text[PREFIX.len()..],
        _ => text,
    }
}

fn is_rule_character(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '=' | ';' | ',' | '+' | '-')
}

/// The parts of a rule, for the checks the `rrule` crate leaves out.
struct Parts<'a>(Vec<(&'a str, &'a str)>);

impl<'a> Parts<'a> {
    fn split(rule: &'a str) -> Result<Self, RecurrenceError> {
        rule.split(';')
            .map(|part| match part.split_once('=') {
                Some((name, value)) if !value.is_empty() => {
                    if PART_NAMES.contains(&name) {
                        Ok((name, value))
                    } else {
                        Err(RecurrenceError::UnknownPart(name.to_owned()))
                    }
                }
                _ => Err(RecurrenceError::Part(part.to_owned())),
            })
            .collect::<Result<_, _>>()
            .map(Self)
    }

    fn get(&self, name: &str) -> Option<&'a str> {
        self.0.iter().find(|(found, _)| *found == name).map(|(_, value)| *value)
    }

    fn check(&self) -> Result<(), RecurrenceError> {
        for name in ["COUNT", "INTERVAL"] {
            if self.get(name).is_some_and(|value| value.bytes().all(|b| matches!(b, b'0' | b'+'))) {
                return Err(RecurrenceError::Zero(name));
            }
        }
        if let Some(until) = self.get("UNTIL") {
            if self.get("COUNT").is_some() {
                return Err(RecurrenceError::CountAndUntil);
            }
            if !until.ends_with('Z') {
                return Err(RecurrenceError::UntilNotUtc);
            }
        }
        let sets = self.0.iter().filter(|(name, _)| name.starts_with("BY")).count();
        if sets == 1 && self.get("BYSETPOS").is_some() {
            return Err(RecurrenceError::LonePosition);
        }
        self.check_days()?;
        let found = ["BYHOUR", "BYMINUTE", "BYSECOND"]
            .into_iter()
            .map(|name| self.get(name).map_or(1, |value| value.split(',').count()))
            .product();
        if found > MAX_TIMES_A_DAY {
            return Err(RecurrenceError::TooManyTimes { found });
        }
        Ok(())
    }

    /// The crate treats a number it does not understand (`XMO`, `0MO`, `99999MO`) as no number.
    fn check_days(&self) -> Result<(), RecurrenceError> {
        let Some(days) = self.get("BYDAY") else { return Ok(()) };
        let may_number = matches!(self.get("FREQ"), Some("MONTHLY" | "YEARLY")) && self.get("BYWEEKNO").is_none();
        for day in days.split(',') {
            let number = ["MO", "TU", "WE", "TH", "FR", "SA", "SU"]
                .iter()
                .find_map(|name| day.strip_suffix(name))
                .ok_or_else(|| RecurrenceError::Day(day.to_owned()))?;
            if number.is_empty() {
                continue;
            }
            let digits = number.strip_prefix(['+', '-']).unwrap_or(number);
            let in_range =
                digits.bytes().all(|b| b.is_ascii_digit()) && digits.parse().is_ok_and(|n: u16| (1..=53).contains(&n));
            if !in_range {
                return Err(RecurrenceError::Day(day.to_owned()));
            }
            if !may_number {
                return Err(RecurrenceError::NumberedDay);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
#[path = "recurrence_tests.rs"]
mod tests;
