//! Computes due times, including daylight saving.
//!
//! The library only handles wall-clock time. This module converts it to real time:
//!
//! - If the hour field matches *every* hour, the expression follows real time: it is due at each
//!   instant whose wall clock matches. The hour that is shown twice in autumn counts twice, and the
//!   hour that is skipped in spring doesn't count.
//! - Otherwise it names times of the day, and each is due once. If the clock shows a time twice,
//!   the first one counts. If the clock skips a time, it is due at the first instant after the gap.
//!   Several times in one gap are due once together.

use std::collections::VecDeque;
use std::time::Duration;

use chrono::{DateTime, LocalResult, NaiveDateTime, Offset, TimeZone};
use chrono_tz::Tz;
use croner::Cron;

use super::error::ScheduleError;
use super::expression;
use super::recurrence::Recurrence;
use tidegate_queue_broker::Timestamp;

/// Characters of an unknown zone's name that are compared and shown.
const LONGEST_ZONE: usize = 64;

/// Distance of the instants at which offsets are compared, in seconds. No zone changes its offset
/// and back within so short a time.
const STRIDE: i64 = 6 * 3600;
/// Larger than the offset of any wall clock from UTC, in seconds, including the days that zones
/// have skipped.
const FAR: i64 = 50 * 3600;
/// Shortest and longest interval, in milliseconds: a second, and about a hundred years.
pub(super) const INTERVALS: std::ops::RangeInclusive<u64> = 1_000..=100 * 366 * 86_400_000;

/// A parsed recurrence.
#[derive(Debug)]
pub(super) enum Timetable {
    Cron {
        cron: Box<Cron>,
        zone: Tz,
        every_hour: bool,
    },
    /// Milliseconds.
    Every(i64),
}

impl Recurrence {
    /// The next times after `after`, `count` at most. Intervals count from `after`.
    ///
    /// # Errors
    /// [`ScheduleError`] if the recurrence can't be read.
    pub fn upcoming(&self, after: Timestamp, count: usize) -> Result<Vec<Timestamp>, ScheduleError> {
        let timetable = Timetable::new(self)?;
        let following = |due: &Timestamp| timetable.next(*due, *due);
        Ok(std::iter::successors(timetable.first(after), following).take(count).collect())
    }
}

impl Timetable {
    pub(super) fn new(recurrence: &Recurrence) -> Result<Self, ScheduleError> {
        match recurrence {
            Recurrence::Cron { expression, zone } => {
                let cron = Box::new(expression::parse(expression)?);
                let zone = zone_of(zone)?;
                let every_hour = cron.pattern.hours.values().len() == 24;
                Ok(Self::Cron { cron, zone, every_hour })
            }
            Recurrence::Every(interval) => u64::try_from(interval.as_millis())
                .ok()
                .filter(|ms| INTERVALS.contains(ms))
                .and_then(|ms| i64::try_from(ms).ok())
                .map(Self::Every)
                .ok_or(ScheduleError::Interval { given: *interval }),
        }
    }

    /// The first time after `now` of a schedule that starts now.
    pub(super) fn first(&self, now: Timestamp) -> Option<Timestamp> {
        self.next(now, now)
    }

    /// The first time after `moment` of a schedule that is or was due at `due`.
    pub(super) fn next(&self, due: Timestamp, moment: Timestamp) -> Option<Timestamp> {
        match self {
            Self::Cron { cron, zone, every_hour } => {
                let after = moment.unix_ms().div_euclid(1000);
                let next = if *every_hour { in_real_time(cron, *zone, after) } else { by_the_day(cron, *zone, after) };
                next.and_then(|second| within(second.checked_mul(1000)?))
            }
            Self::Every(interval) => {
                let passed = moment.unix_ms().checked_sub(due.unix_ms())?;
                let turns = passed.div_euclid(*interval).checked_add(1)?.max(0);
                within(due.unix_ms().checked_add(turns.checked_mul(*interval)?)?)
            }
        }
    }

    /// The last times before `end` and not before `due`, at most `most`, in ascending order. The
    /// schedule was due at `due`.
    pub(super) fn latest(&self, due: Timestamp, end: Timestamp, most: usize) -> Vec<Timestamp> {
        if most == 0 || due >= end {
            return Vec::new();
        }
        // Searches longer and longer periods before the end, until one contains enough times. This
        // avoids stepping through a month of seconds.
        let mut stretch = Duration::from_secs(1);
        loop {
            stretch = stretch.saturating_mul(4);
            let begin = end.before(stretch).max(due);
            let first = if begin == due { Some(due) } else { self.next(due, begin) };
            let mut times = VecDeque::new();
            let following = |time: &Timestamp| self.next(due, *time);
            for time in std::iter::successors(first, following).take_while(|time| *time < end) {
                if times.len() == most {
                    times.pop_front();
                }
                times.push_back(time);
            }
            if times.len() == most || begin == due {
                return times.into();
            }
        }
    }
}

fn within(ms: i64) -> Option<Timestamp> {
    let time = Timestamp::from_unix_ms(ms);
    (time.unix_ms() == ms).then_some(time)
}

fn zone_of(name: &str) -> Result<Tz, ScheduleError> {
    name.parse().map_err(|_| {
        let zone: String = name.chars().take(LONGEST_ZONE).collect();
        ScheduleError::Zone { like: most_like(&zone), zone }
    })
}

/// The zone whose name, or whose city, differs in the fewest letters. `None` if all differ in more
/// than a quarter of them.
fn most_like(name: &str) -> Option<&'static str> {
    let name = name.replace(' ', "_").to_ascii_lowercase();
    let most = (name.chars().count() / 4).max(1);
    let distance = |known: &str| {
        let known = known.to_ascii_lowercase();
        let city = known.rsplit('/').next().unwrap_or_default();
        strsim::damerau_levenshtein(&name, &known).min(strsim::damerau_levenshtein(&name, city))
    };
    let known = chrono_tz::TZ_VARIANTS.iter().map(|zone| zone.name()).map(|known| (distance(known), known));
    known.filter(|(distance, _)| *distance <= most).min_by_key(|(distance, _)| *distance).map(|(_, known)| known)
}

fn wall_clock(seconds: i64) -> Option<NaiveDateTime> {
    DateTime::from_timestamp(seconds, 0).map(|time| time.naive_utc())
}

/// Seconds that the wall clock is ahead of UTC at an instant.
fn offset(zone: Tz, instant: i64) -> Option<i64> {
    let offset = zone.offset_from_utc_datetime(&wall_clock(instant)?).fix().local_minus_utc();
    Some(i64::from(offset))
}

/// Each instant whose wall clock matches. Periods of equal offset are searched one after the other.
fn in_real_time(cron: &Cron, zone: Tz, after: i64) -> Option<i64> {
    let (mut from, mut inclusive) = (after, false);
    loop {
        let ahead = offset(zone, from)?;
        let shown = cron.find_next_occurrence(&wall_clock(from + ahead)?, inclusive).ok()?;
        let instant = shown.and_utc().timestamp() - ahead;
        match offset_change(zone, from, instant)? {
            Some(change) => (from, inclusive) = (change, true),
            None => return Some(instant),
        }
    }
}

/// The first instant after `from` and not after `to` whose offset differs from that of `from`.
fn offset_change(zone: Tz, from: i64, to: i64) -> Option<Option<i64>> {
    let ahead = offset(zone, from)?;
    let mut same = from;
    while same < to {
        let mut other = to.min(same + STRIDE);
        if offset(zone, other)? == ahead {
            same = other;
            continue;
        }
        while other - same > 1 {
            let middle = same + (other - same) / 2;
            if offset(zone, middle)? == ahead { same = middle } else { other = middle }
        }
        return Some(Some(other));
    }
    Some(None)
}

/// Each matching time of the day, once.
fn by_the_day(cron: &Cron, zone: Tz, after: i64) -> Option<i64> {
    // A wall-clock time never maps to an instant after that of a later wall-clock time. So the
    // search can start at the time shown now.
    let mut shown = wall_clock(after + offset(zone, after)?)?;
    loop {
        shown = cron.find_next_occurrence(&shown, false).ok()?;
        let instant = first_instant(zone, shown)?;
        if instant > after {
            return Some(instant);
        }
    }
}

fn first_instant(zone: Tz, shown: NaiveDateTime) -> Option<i64> {
    match zone.from_local_datetime(&shown) {
        LocalResult::Single(time) => Some(time.timestamp()),
        LocalResult::Ambiguous(one, other) => Some(one.timestamp().min(other.timestamp())),
        LocalResult::None => {
            // The end of the gap: the first instant that shows a later time.
            let wanted = shown.and_utc().timestamp();
            let (mut earlier, mut later) = (wanted - FAR, wanted + FAR);
            while later - earlier > 1 {
                let middle = earlier + (later - earlier) / 2;
                if middle + offset(zone, middle)? > wanted { later = middle } else { earlier = middle }
            }
            Some(later)
        }
    }
}

#[cfg(test)]
#[path = "timetable_tests.rs"]
mod tests;
