use chrono::{Datelike, Timelike};
use proptest::prelude::*;

use super::*;

fn instant(text: &str) -> Timestamp {
    serde_json::from_str(&format!("\"{text}\"")).unwrap()
}

fn cron(expression: &str, zone: &str) -> Timetable {
    Timetable::new(&Recurrence::cron(expression, zone)).unwrap()
}

/// The next times after `from` and before `to`, as UTC.
fn between(timetable: &Timetable, from: &str, to: &str) -> Vec<String> {
    let end = instant(to);
    std::iter::successors(timetable.first(instant(from)), |time| timetable.next(*time, *time))
        .take_while(|time| *time < end)
        .map(|time| time.to_string().replace(":00.000Z", "Z"))
        .collect()
}

// In Europe/Berlin the clock goes from 02:00 to 03:00 on 29 March 2026 at 01:00 UTC, and from 03:00
// back to 02:00 on 25 October 2026 at 01:00 UTC.

#[test]
fn a_time_that_spring_leaves_out_runs_right_after_the_gap() {
    let daily = cron("30 2 * * *", "Europe/Berlin");
    let times = between(&daily, "2026-03-27T12:00:00Z", "2026-03-31T12:00:00Z");
    assert_eq!(times, ["2026-03-28T01:30Z", "2026-03-29T01:00Z", "2026-03-30T00:30Z", "2026-03-31T00:30Z"]);
    // Several times in the gap, and one at its end: due once together.
    let several = cron("0,20,40 2,3 * * *", "Europe/Berlin");
    let times = between(&several, "2026-03-29T00:00:00Z", "2026-03-29T12:00:00Z");
    assert_eq!(times, ["2026-03-29T01:00Z", "2026-03-29T01:20Z", "2026-03-29T01:40Z"]);
}

#[test]
fn a_time_that_autumn_shows_twice_runs_once() {
    let daily = cron("30 2 * * *", "Europe/Berlin");
    let times = between(&daily, "2026-10-24T12:00:00Z", "2026-10-27T12:00:00Z");
    assert_eq!(times, ["2026-10-25T00:30Z", "2026-10-26T01:30Z", "2026-10-27T01:30Z"]);
    // A schedule that is put in the second of the two hours has already run on this day.
    let times = between(&daily, "2026-10-25T01:10:00Z", "2026-10-26T12:00:00Z");
    assert_eq!(times, ["2026-10-26T01:30Z"]);
    let every_two_hours = cron("0 */2 * * *", "Europe/Berlin");
    let times = between(&every_two_hours, "2026-10-24T21:30:00Z", "2026-10-25T04:00:00Z");
    assert_eq!(times, ["2026-10-24T22:00Z", "2026-10-25T00:00Z", "2026-10-25T03:00Z"]);
}

#[test]
fn expressions_that_name_every_hour_follow_real_time() {
    let quarterly = cron("*/30 * * * *", "Europe/Berlin");
    let spring = between(&quarterly, "2026-03-29T00:00:00Z", "2026-03-29T02:01:00Z");
    assert_eq!(spring, ["2026-03-29T00:30Z", "2026-03-29T01:00Z", "2026-03-29T01:30Z", "2026-03-29T02:00Z"]);
    let autumn = between(&quarterly, "2026-10-24T23:45:00Z", "2026-10-25T02:01:00Z");
    let halves =
        ["2026-10-25T00:00Z", "2026-10-25T00:30Z", "2026-10-25T01:00Z", "2026-10-25T01:30Z", "2026-10-25T02:00Z"];
    assert_eq!(autumn, halves);
    // Lord Howe Island changes by half an hour: at 15:00 UTC on 4 April 2026 the clock goes from
    // 02:00 to 01:30.
    let hourly = cron("30 0-23 * * *", "Australia/Lord_Howe");
    let times = between(&hourly, "2026-04-04T14:00:00Z", "2026-04-04T17:30:00Z");
    assert_eq!(times, ["2026-04-04T14:30Z", "2026-04-04T15:00Z", "2026-04-04T16:00Z", "2026-04-04T17:00Z"]);
}

#[test]
fn a_day_that_a_zone_leaves_out_runs_when_it_is_over() {
    // Apia went from the end of 29 December 2011 to the start of the 31st, at 10:00 UTC on the
    // 30th.
    let daily = cron("0 12 * * *", "Pacific/Apia");
    let times = between(&daily, "2011-12-29T00:00:00Z", "2011-12-31T12:00:00Z");
    assert_eq!(times, ["2011-12-29T22:00Z", "2011-12-30T10:00Z", "2011-12-30T22:00Z"]);
}

#[test]
fn an_expression_that_never_fires_is_detected_fast() {
    for never in ["0 0 30 2 *", "0 0 31 4,6,9,11 *", "* * * 31 2 +1", "0 0 31W 2 *"] {
        for zone in ["UTC", "Europe/Berlin"] {
            let from = instant("2026-01-01T00:00:00Z");
            assert_eq!(cron(never, zone).first(from), None, "{never}");
        }
    }
    let leap = cron("0 0 29 2 *", "UTC");
    assert_eq!(leap.first(instant("2026-01-01T00:00:00Z")), Some(instant("2028-02-29T00:00:00Z")));
    let end = Timestamp::from_unix_ms(i64::MAX);
    assert_eq!(leap.first(end), None);
    assert_eq!(Timetable::Every(1000).first(end), None);
}

#[test]
fn intervals_keep_their_grid() {
    let timetable = Timetable::new(&Recurrence::Every(Duration::from_secs(90))).unwrap();
    let at = Timestamp::from_unix_ms;
    assert_eq!(timetable.first(at(500)), Some(at(90_500)));
    assert_eq!(timetable.next(at(90_500), at(90_500)), Some(at(180_500)));
    assert_eq!(timetable.next(at(90_500), at(1_000_000)), Some(at(1_080_500)));
    assert_eq!(timetable.next(at(90_500), at(3)), Some(at(90_500)));
    assert_eq!(timetable.latest(at(90_500), at(1_080_500), 2), [at(900_500), at(990_500)]);
    assert_eq!(timetable.latest(at(90_500), at(180_501), 9), [at(90_500), at(180_500)]);
    assert_eq!(timetable.latest(at(90_500), at(90_500), 9), []);
    for bad in [Duration::ZERO, Duration::from_millis(999), Duration::MAX] {
        assert!(matches!(Timetable::new(&Recurrence::Every(bad)), Err(ScheduleError::Interval { .. })));
    }
}

#[test]
fn an_unknown_zone_is_named_with_a_known_one_like_it() {
    for (given, like) in [
        ("europe/berlin", Some("Europe/Berlin")),
        ("New York", Some("America/New_York")),
        ("Europe/Berln", Some("Europe/Berlin")),
        ("Eurpoe/Brelin", Some("Europe/Berlin")),
        ("Berln", Some("Europe/Berlin")),
        ("America/Los Angelos", Some("America/Los_Angeles")),
        ("Mars/Base", None),
        ("", None),
    ] {
        match Timetable::new(&Recurrence::cron("* * * * *", given)) {
            Err(ScheduleError::Zone { zone, like: found }) => assert_eq!((zone.as_str(), found), (given, like)),
            other => panic!("{other:?}"),
        }
    }
}

/// A generated field: its text and its values.
#[derive(Clone, Debug)]
struct Field {
    text: String,
    values: Vec<u32>,
}

fn field(low: u32, high: u32) -> impl Strategy<Value = Field> {
    let all = move || (low..=high).collect::<Vec<_>>();
    prop_oneof![
        3 => Just(Field { text: "*".to_owned(), values: all() }),
        1 => (2u32..15).prop_map(move |step| Field {
            text: format!("*/{step}"),
            values: all().into_iter().filter(|value| (value - low).is_multiple_of(step)).collect(),
        }),
        2 => prop::collection::btree_set(low..=high, 1..4).prop_map(|set| Field {
            text: set.iter().map(ToString::to_string).collect::<Vec<_>>().join(","),
            values: set.into_iter().collect(),
        }),
        1 => (low..=high, low..=high).prop_map(|(a, b)| {
            let (from, to) = (a.min(b), a.max(b));
            Field { text: format!("{from}-{to}"), values: (from..=to).collect() }
        }),
    ]
}

const ZONES: [&str; 7] = [
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "Australia/Lord_Howe",
    "Asia/Kathmandu",
    "America/Santiago",
    "Africa/Casablanca",
];

/// Steps minute by minute and compares the wall clock with the fields. Does not use the library.
fn oracle(fields: &[Field], zone: Tz, from: i64, minutes: i64) -> Vec<i64> {
    let matches = |shown: NaiveDateTime| {
        let has = |index: usize, value: u32| fields[index].values.contains(&value);
        let day = has(2, shown.day());
        let weekday = has(4, shown.weekday().num_days_from_sunday());
        let both_restricted = fields[2].text != "*" && fields[4].text != "*";
        has(0, shown.minute())
            && has(1, shown.hour())
            && has(3, shown.month())
            && if both_restricted { day || weekday } else { day && weekday }
    };
    let real_time = fields[1].values.len() == 24;
    let minute = chrono::TimeDelta::minutes(1);
    let shown_at = |instant: i64| wall_clock(instant + offset(zone, instant).unwrap()).unwrap();
    // The latest time that the clock has shown so far. Starts early enough to include a change
    // before `from`.
    let mut latest = shown_at(from - 86_400);
    let mut found = Vec::new();
    for instant in (from - 86_340..=from + minutes * 60).step_by(60) {
        let shown = shown_at(instant);
        let due = if real_time {
            matches(shown)
        } else {
            let mut missing = latest + minute;
            let mut due = false;
            while missing <= shown {
                due |= matches(missing);
                missing += minute;
            }
            due
        };
        latest = latest.max(shown);
        if due && instant > from {
            found.push(instant);
        }
    }
    found
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// Near clock changes and elsewhere, the times equal those of the oracle and are ascending.
    #[test]
    fn agrees_with_a_walk_minute_by_minute(
        fields in (field(0, 59), field(0, 23), field(1, 31), field(1, 12), field(0, 6)),
        zone in prop::sample::select(&ZONES[..]),
        near_change in any::<bool>(),
        day in 0i64..3_000,
        start in 0i64..1440,
    ) {
        let fields = [fields.0, fields.1, fields.2, fields.3, fields.4];
        let expression = fields.each_ref().map(|field| field.text.as_str()).join(" ");
        let tz: Tz = zone.parse().unwrap();
        let mut from = 1_767_225_600 + day * 86_400 + start * 60;
        if near_change && let Some(change) = offset_change(tz, from, from + 400 * 86_400).unwrap() {
            from = change - start * 60;
        }
        let timetable = cron(&expression, zone);
        let minutes = 3 * 1440;
        let expected = oracle(&fields, tz, from, minutes);
        let begin = Timestamp::from_unix_ms(from * 1000);
        let times: Vec<_> = std::iter::successors(timetable.first(begin), |time| timetable.next(*time, *time))
            .take_while(|time| time.unix_ms() <= (from + minutes * 60) * 1000)
            .collect();
        prop_assert!(times.is_sorted_by(|a, b| a < b));
        prop_assert_eq!(times.iter().map(|time| time.unix_ms() / 1000).collect::<Vec<_>>(), expected, "{} {}", expression, zone);
        // The latest of the times, too.
        if let Some(first) = times.first() {
            let end = Timestamp::from_unix_ms((from + minutes * 60) * 1000 + 1);
            for most in [1, 3, 500] {
                let latest = &times[times.len().saturating_sub(most)..];
                prop_assert_eq!(timetable.latest(*first, end, most), latest);
            }
        }
    }
}
