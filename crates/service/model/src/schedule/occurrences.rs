//! The times at which a schedule occurs.

use chrono::{DateTime, Datelike, Months, SubsecRound, TimeDelta, Utc};
use rrule::{Frequency, RRule, RRuleSet, Unvalidated};

/// Maximum number of occurrences to skip before the first one in the range.
const MOST_STEPS: usize = 100_000;

/// Some occurrences of a schedule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Occurrences {
    /// Their starts, in order.
    pub starts: Vec<DateTime<Utc>>,
    /// The first one after them.
    pub next: Option<DateTime<Utc>>,
}

/// Why the occurrences of a rule cannot be computed with reasonable effort.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoOccurrences {
    /// The rule was stored by another version or edited by hand.
    #[error("the rule can't be read: {0}")]
    Unreadable(String),
    /// For example a rule for every second, a hundred million times.
    #[error("the search for the next occurrence would take more than {MOST_STEPS} steps")]
    TooFar,
    /// A bug in the crate that expands it.
    #[error("expanding the rule panicked")]
    Panicked,
}

/// Returns the occurrences from `from` to before `until`, at most `most`. The first is the start of
/// the schedule, whether or not the rule includes it. The others are those of the rule, in UTC,
/// which has no daylight saving time.
///
/// The cost does not depend on how long ago the start is, except for a rule with `COUNT`.
///
/// # Errors
///
/// If the rule cannot be expanded.
pub fn occurrences(
    starts_at: DateTime<Utc>,
    rule: Option<&str>,
    (from, until): (DateTime<Utc>, DateTime<Utc>),
    most: usize,
) -> Result<Occurrences, NoOccurrences> {
    let mut found = Occurrences { starts: Vec::new(), next: None };
    let own = (starts_at >= from).then_some(starts_at);
    let mut steps = 0;
    for at in own.into_iter().chain(ruled(starts_at, rule, from)?) {
        steps += 1;
        if steps > MOST_STEPS {
            return Err(NoOccurrences::TooFar);
        }
        if at < from || found.starts.last().is_some_and(|last| at <= *last) {
            continue;
        }
        if at >= until || found.starts.len() >= most {
            found.next = Some(at);
            break;
        }
        found.starts.push(at);
    }
    Ok(found)
}

/// Returns the occurrences of the rule, starting at some time not after `from`.
fn ruled(
    starts_at: DateTime<Utc>,
    rule: Option<&str>,
    from: DateTime<Utc>,
) -> Result<impl Iterator<Item = DateTime<Utc>> + use<>, NoOccurrences> {
    // Rules have whole seconds.
    let start = starts_at.trunc_subsecs(0);
    let rest = starts_at - start;
    let unreadable = |error: rrule::RRuleError| NoOccurrences::Unreadable(error.to_string());
    let set = match rule {
        None => None,
        Some(rule) => {
            let rule: RRule<Unvalidated> = rule.parse().map_err(unreadable)?;
            let start = moved(&rule, start, from).with_timezone(&rrule::Tz::UTC);
            if rule.get_until().is_some_and(|until| *until < start) {
                None
            } else {
                let rule = rule.validate(start).map_err(unreadable)?;
                Some((&RRuleSet::new(start).rrule(rule).limit()).into_iter())
            }
        }
    };
    // A rule without an occurrence in a hundred thousand periods has no further ones: the crate
    // stops there.
    Ok(set.into_iter().flatten().map(move |at| at.with_timezone(&Utc) + rest))
}

/// Returns the start of the last whole step of the rule up to `from`. From there the rule continues
/// as from its own start. A rule with `COUNT` has to be expanded from its start.
fn moved<S>(rule: &RRule<S>, start: DateTime<Utc>, from: DateTime<Utc>) -> DateTime<Utc> {
    if rule.get_count().is_some() || from <= start {
        return start;
    }
    let interval = rule.get_interval();
    let seconds = match rule.get_freq() {
        Frequency::Yearly => return moved_by_months(start, from, 12 * u32::from(interval)),
        Frequency::Monthly => return moved_by_months(start, from, u32::from(interval)),
        Frequency::Weekly => 7 * 86_400,
        Frequency::Daily => 86_400,
        Frequency::Hourly => 3_600,
        Frequency::Minutely => 60,
        Frequency::Secondly => 1,
    };
    let step = seconds * i64::from(interval.max(1));
    let steps = (from - start).num_seconds() / step;
    start + TimeDelta::seconds(steps * step)
}

/// Moves only to a month that has the day.
fn moved_by_months(start: DateTime<Utc>, from: DateTime<Utc>, step: u32) -> DateTime<Utc> {
    let months = |time: DateTime<Utc>| u32::try_from(time.year()).unwrap_or(0) * 12 + time.month0();
    let step = step.max(1);
    let mut steps = months(from).saturating_sub(months(start)) / step;
    while steps > 0 {
        let moved = start.checked_add_months(Months::new(steps * step));
        match moved.filter(|moved| moved.day() == start.day() && *moved <= from) {
            Some(moved) => return moved,
            None => steps -= 1,
        }
    }
    start
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn time(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    fn found(start: &str, rule: Option<&str>, from: &str, until: &str) -> (Vec<String>, Option<String>) {
        let found = occurrences(time(start), rule, (time(from), time(until)), 100).unwrap();
        let shown = |at: &DateTime<Utc>| at.to_rfc3339_opts(chrono::SecondsFormat::AutoSi, true);
        (found.starts.iter().map(shown).collect(), found.next.as_ref().map(shown))
    }

    #[test]
    fn once_is_once() {
        let start = "2030-01-07T09:00:00.250Z";
        assert_eq!(found(start, None, "2030-01-07T08:00:00Z", "2030-01-07T10:00:00Z"), (vec![start.to_owned()], None));
        assert_eq!(found(start, None, "2030-01-07T10:00:00Z", "2030-01-07T11:00:00Z"), (vec![], None));
        assert_eq!(found(start, None, start, start), (vec![], Some(start.to_owned())));
    }

    #[test]
    fn a_rule_goes_by_utc_through_the_change_to_summer_time_and_keeps_milliseconds() {
        let (starts, next) =
            found("2026-03-27T08:30:00.250Z", Some("FREQ=DAILY"), "2026-03-28T00:00:00Z", "2026-03-31T00:00:00Z");
        assert_eq!(starts, ["2026-03-28T08:30:00.250Z", "2026-03-29T08:30:00.250Z", "2026-03-30T08:30:00.250Z"]);
        assert_eq!(next.as_deref(), Some("2026-03-31T08:30:00.250Z"));
    }

    #[test]
    fn count_and_until_end_it() {
        let day = |rule| found("2026-03-01T08:00:00Z", Some(rule), "2026-03-03T00:00:00Z", "2026-03-05T00:00:00Z");
        let third = vec!["2026-03-03T08:00:00Z".to_owned()];
        assert_eq!(day("FREQ=DAILY;COUNT=3"), (third.clone(), None));
        assert_eq!(day("FREQ=DAILY;UNTIL=20260303T090000Z"), (third, None));
        assert_eq!(day("FREQ=DAILY;UNTIL=20260302T000000Z"), (vec![], None));
    }

    #[test]
    fn old_starts_and_rules_that_never_come_cost_little() {
        let start = time("1970-01-01T00:00:00Z");
        let span = (time("2026-11-23T00:00:00Z"), time("2026-11-23T00:00:05Z"));
        let find = |rule| occurrences(start, Some(rule), span, 100);
        assert_eq!(find("FREQ=SECONDLY").unwrap().starts.len(), 5);
        assert_eq!(find("FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30").unwrap(), Occurrences { starts: vec![], next: None });
        assert_eq!(find("FREQ=SECONDLY;COUNT=4000000000"), Err(NoOccurrences::TooFar));
        assert!(matches!(find("FREQ=NEVER"), Err(NoOccurrences::Unreadable(_))));
    }

    proptest! {
        /// A rule with a `COUNT` that it does not reach is expanded from its start. A rule without
        /// is not.
        #[test]
        fn a_moved_start_changes_nothing(
            rule in prop::sample::select(vec![
                "FREQ=YEARLY", "FREQ=YEARLY;BYMONTH=2,7;BYMONTHDAY=29", "FREQ=MONTHLY", "FREQ=MONTHLY;BYDAY=-1FR",
                "FREQ=MONTHLY;BYDAY=MO,TU,WE;BYSETPOS=-1", "FREQ=WEEKLY;BYDAY=MO,SU;WKST=SU", "FREQ=WEEKLY",
                "FREQ=DAILY;BYHOUR=7,19", "FREQ=DAILY;BYMONTH=1", "FREQ=HOURLY;BYMINUTE=5,50",
            ]),
            interval in 1_u16..8,
            start_day in 0_i64..1500,
            ahead in 0_i64..200_000,
        ) {
            let start = time("2020-01-31T09:17:03Z") + TimeDelta::days(start_day);
            // As far as an hourly rule gets within the maximum number of steps.
            let from = start + TimeDelta::minutes(ahead);
            let span = (from, from + TimeDelta::days(40));
            let rule = format!("{rule};INTERVAL={interval}");
            let counted = format!("{rule};COUNT=1000000");
            prop_assert_eq!(occurrences(start, Some(&rule), span, 50), occurrences(start, Some(&counted), span, 50));
        }
    }
}
