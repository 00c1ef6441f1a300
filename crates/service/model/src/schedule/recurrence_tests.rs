use chrono::TimeZone;
use proptest::prelude::*;

use super::*;

fn start() -> DateTime<Utc> {
    Utc.with_ymd_and_hms(2026, 3, 2, 9, 0, 0).unwrap()
}

fn check(text: &str) -> Result<String, RecurrenceError> {
    Recurrence::try_new(text, start()).map(|rule| rule.to_string())
}

#[test]
fn accepts_rules_of_the_rfc_and_keeps_their_meaning() {
    for (text, kept) in [
        ("RRULE:FREQ=WEEKLY;BYDAY=MO,WE", "FREQ=WEEKLY;BYDAY=MO,WE"),
        (" rrule:freq=monthly;byday=1mo ", "FREQ=MONTHLY;BYDAY=1MO"),
        ("FREQ=MONTHLY;BYDAY=+1FR,-1FR", "FREQ=MONTHLY;BYDAY=+1FR,-1FR"),
        ("FREQ=YEARLY;BYWEEKNO=20;BYDAY=MO", "FREQ=YEARLY;BYWEEKNO=20;BYDAY=MO"),
        ("INTERVAL=10;FREQ=DAILY;COUNT=5", "INTERVAL=10;FREQ=DAILY;COUNT=5"),
        ("FREQ=DAILY;UNTIL=20261224T000000Z", "FREQ=DAILY;UNTIL=20261224T000000Z"),
        ("FREQ=MONTHLY;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=-1", "FREQ=MONTHLY;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=-1"),
    ] {
        assert_eq!(check(text).as_deref(), Ok(kept));
    }
}

#[test]
fn refuses_what_the_crate_would_let_pass() {
    use RecurrenceError as E;
    for (text, error) in [
        ("FREQ=WEEKLY;BYDAY=é", E::Character('é')),
        ("FREQ=WEEKLY;BYDAY=XMO", E::Day("XMO".into())),
        ("FREQ=MONTHLY;BYDAY=0MO", E::Day("0MO".into())),
        ("FREQ=MONTHLY;BYDAY=+-1MO", E::Day("+-1MO".into())),
        ("FREQ=MONTHLY;BYDAY=99999MO", E::Day("99999MO".into())),
        ("FREQ=MONTHLY;BYDAY=MO,", E::Day(String::new())),
        ("FREQ=WEEKLY;BYDAY=1MO", E::NumberedDay),
        ("FREQ=YEARLY;BYWEEKNO=3;BYDAY=1MO", E::NumberedDay),
        ("FREQ=DAILY;INTERVAL=0", E::Zero("INTERVAL")),
        ("FREQ=DAILY;COUNT=00", E::Zero("COUNT")),
        ("FREQ=DAILY;COUNT=2;UNTIL=20261224T000000Z", E::CountAndUntil),
        ("FREQ=DAILY;UNTIL=20261224", E::UntilNotUtc),
        ("FREQ=DAILY;UNTIL=20261224T000000", E::UntilNotUtc),
        ("FREQ=DAILY;BYMONTH=", E::Part("BYMONTH=".into())),
        ("FREQ=DAILY;", E::Part(String::new())),
        ("FREQ=WEEKLY;BYWEEKDAY=MO", E::UnknownPart("BYWEEKDAY".into())),
        ("FREQ=DAILY\nRDATE=20260101T000000Z", E::Character('\n')),
        ("FREQ=DAILY;BYSETPOS=1", E::LonePosition),
        ("EXRULE:FREQ=DAILY", E::Character(':')),
    ] {
        assert_eq!(check(text), Err(error), "{text}");
    }
}

#[test]
fn refuses_what_the_crate_refuses() {
    for text in [
        "BYDAY=MO",
        "FREQ=FORTNIGHTLY",
        "FREQ=DAILY;FREQ=DAILY",
        "FREQ=DAILY;BYHOUR=24",
        "FREQ=DAILY;BYSECOND=60",
        "FREQ=WEEKLY;BYMONTHDAY=1",
        "FREQ=DAILY;INTERVAL=65536",
        "FREQ=DAILY;UNTIL=20260301T000000Z",
        "FREQ=DAILY;UNTIL=20269901T000000Z",
        "FREQ=DAILY;UNTIL=Z",
    ] {
        assert!(matches!(check(text), Err(RecurrenceError::Rule(_))), "{text}");
    }
}

#[test]
fn caps_length_and_times_of_day() {
    let days = |n| format!("FREQ=YEARLY;BYYEARDAY={}", vec!["100"; n].join(","));
    assert!(check(&days(122)).is_ok());
    assert_eq!(check(&days(123)), Err(RecurrenceError::TooLong));
    let list = |n: usize| (0..n).map(|v| v.to_string()).collect::<Vec<_>>().join(",");
    let every_minute = format!("FREQ=YEARLY;BYHOUR={};BYMINUTE={}", list(24), list(60));
    assert!(check(&every_minute).is_ok());
    let twice = format!("{every_minute};BYSECOND=0,1");
    assert_eq!(check(&twice), Err(RecurrenceError::TooManyTimes { found: 2880 }));
}

fn part() -> impl Strategy<Value = String> {
    let number = || prop_oneof![-60i32..70, any::<i32>()];
    let numbers = || {
        proptest::collection::vec(number(), 1..5)
            .prop_map(|all| all.iter().map(ToString::to_string).collect::<Vec<_>>().join(","))
    };
    prop_oneof![
        Just("BYDAY=MO,-1SU".to_owned()),
        "BYDAY=[+-]?[0-9]{0,3}(MO|TU|WE|SU)(,[0-9é]{0,2}(MO|FR))?",
        "WKST=(MO|SU|XX)",
        "UNTIL=[0-9]{4}[01][0-9][0-3][0-9](T[0-2][0-9][0-5][0-9][0-6][0-9])?Z?",
        ("(COUNT|INTERVAL|BY(SECOND|MINUTE|HOUR|MONTHDAY|YEARDAY|WEEKNO|MONTH|SETPOS))", numbers())
            .prop_map(|(name, values)| format!("{name}={values}")),
    ]
}

fn hostile_rule() -> impl Strategy<Value = String> {
    ("FREQ=(SECONDLY|MINUTELY|HOURLY|DAILY|WEEKLY|MONTHLY|YEARLY)", proptest::collection::vec(part(), 0..5))
        .prop_map(|(freq, parts)| [vec![freq], parts].concat().join(";"))
}

proptest! {
    #[test]
    fn no_text_panics(text in ".*", seconds in 0i64..253_402_300_799) {
        let start = DateTime::from_timestamp(seconds, 0).unwrap();
        let _ = Recurrence::try_new(&text, start).map(|rule| rule.to_string());
    }

    #[test]
    fn a_rule_that_passes_passes_again_unchanged_and_can_be_expanded(
        rule in hostile_rule(),
        seconds in 0i64..253_402_300_799,
    ) {
        let start = DateTime::from_timestamp(seconds, 0).unwrap();
        if let Ok(checked) = Recurrence::try_new(&rule, start) {
            prop_assert_eq!(Recurrence::try_new(checked.as_str(), start), Ok(checked.clone()));
            let start = start.with_timezone(&rrule::Tz::UTC);
            let parsed: RRule<Unvalidated> = checked.as_str().parse().unwrap();
            let _ = parsed.build(start).unwrap().all(3);
        }
    }
}
