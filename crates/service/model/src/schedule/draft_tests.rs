use proptest::prelude::*;

use super::*;

fn raw() -> RawSchedule {
    RawSchedule {
        title: " Stand-up ".into(),
        starts_at: "2026-03-01T09:00:00+01:00".into(),
        ends_at: "2026-03-01T08:15:00.1239Z".into(),
        recurrence: Some("rrule:freq=daily;count=3".into()),
        attendees: vec!["ann@example.org".into(), "Bob".into()],
    }
}

fn refused(raw: &RawSchedule) -> Vec<(Field, Problem)> {
    let errors = ScheduleDraft::try_new(raw).expect_err("refused");
    errors.iter().map(|error| (error.field, error.problem.clone())).collect()
}

#[test]
fn accepts_and_normalises() {
    let draft = ScheduleDraft::try_new(&raw()).unwrap();
    assert_eq!(draft.title(), "Stand-up");
    assert_eq!(draft.starts_at().to_rfc3339(), "2026-03-01T08:00:00+00:00");
    assert_eq!(draft.ends_at().to_rfc3339(), "2026-03-01T08:15:00.123+00:00");
    assert_eq!(draft.recurrence().map(Recurrence::as_str), Some("FREQ=DAILY;COUNT=3"));
    assert_eq!(draft.attendees().len(), 2);
}

#[test]
fn an_empty_recurrence_is_none() {
    for recurrence in [None, Some(String::new()), Some("  ".into())] {
        let draft = ScheduleDraft::try_new(&RawSchedule { recurrence, ..raw() }).unwrap();
        assert_eq!(draft.recurrence(), None);
    }
}

#[test]
fn every_refused_field_is_named() {
    let raw = RawSchedule {
        title: " ".into(),
        starts_at: "tomorrow".into(),
        ends_at: "2026-03-01T09:00:00".into(),
        recurrence: Some("FREQ=DAILY;BYSETPOS=1".into()),
        attendees: vec!["ok".into(), String::new(), "a@".into()],
    };
    let fields: Vec<_> = refused(&raw).into_iter().map(|(field, _)| field.to_string()).collect();
    let expected = ["title", "starts_at", "ends_at", "recurrence", "attendees[1]", "attendees[2]"];
    assert_eq!(fields, expected);
    let text = ScheduleDraft::try_new(&raw).unwrap_err().to_string();
    assert!(text.starts_with("title: is empty; starts_at: is not an RFC 3339"), "{text}");
}

#[test]
fn the_end_is_later_than_the_start() {
    let start = "2026-03-01T09:00:00Z";
    // Equal instants written with different offsets, and a difference below a millisecond.
    for end in ["2026-03-01T10:00:00+01:00", "2026-03-01T09:00:00.0009Z", "2026-03-01T08:59:59Z"] {
        let raw = RawSchedule { starts_at: start.into(), ends_at: end.into(), ..raw() };
        assert_eq!(refused(&raw), [(Field::EndsAt, Problem::NotAfterStart)]);
    }
}

#[test]
fn times_outside_the_range_or_the_format_are_refused() {
    let cases = [
        ("1969-12-31T23:59:59Z", Problem::YearOutOfRange),
        ("1970-01-01T00:30:00+01:00", Problem::YearOutOfRange),
        ("9999-12-31T23:59:59-01:00", Problem::YearOutOfRange),
        ("2016-12-31T23:59:60Z", Problem::NotRfc3339),
        ("2026-02-30T00:00:00Z", Problem::NotRfc3339),
        ("2026-03-01", Problem::NotRfc3339),
        ("12026-03-01T00:00:00Z", Problem::NotRfc3339),
        ("", Problem::NotRfc3339),
    ];
    for (text, problem) in cases {
        assert_eq!(instant(text), Err(problem), "{text}");
    }
    assert!(instant("1970-01-01T00:00:00Z").is_ok());
    assert!(instant("9999-12-31T23:59:59.999999999Z").is_ok());
}

#[test]
fn json_denies_unknown_names_and_defaults_the_rest() {
    let minimal = r#"{"title":"a","starts_at":"b","ends_at":"c"}"#;
    let raw: RawSchedule = serde_json::from_str(minimal).unwrap();
    assert_eq!((raw.recurrence, raw.attendees), (None, vec![]));
    let unknown = r#"{"title":"a","starts_at":"b","ends_at":"c","tenant":"t"}"#;
    assert!(serde_json::from_str::<RawSchedule>(unknown).is_err());
    assert!(serde_json::from_str::<RawSchedule>(r#"{"title":"a"}"#).is_err());
}

proptest! {
    #[test]
    fn whatever_is_sent_is_answered(
        title in any::<String>(),
        starts_at in "([0-9]{4}-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-5][0-9]:[0-6][0-9](\\.[0-9]{1,12})?(Z|[+-][0-2][0-9]:[0-5][0-9]))|.*",
        ends_at in any::<String>(),
        recurrence in proptest::option::of(any::<String>()),
        attendees in proptest::collection::vec(any::<String>(), 0..5),
    ) {
        let raw = RawSchedule { title, starts_at, ends_at, recurrence, attendees };
        match ScheduleDraft::try_new(&raw) {
            Ok(draft) => prop_assert!(draft.ends_at() > draft.starts_at()),
            Err(errors) => prop_assert!(errors.iter().count() > 0),
        }
    }
}
