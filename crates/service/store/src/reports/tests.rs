use std::collections::BTreeMap;

use chrono::TimeDelta;
use tidegate_model::schedule::{RawSchedule, ScheduleDraft};

use super::*;
use crate::Store;
use crate::ground::Ground;

/// Title, start, minutes, attendees, whether it repeats.
type Made = (&'static str, &'static str, i64, &'static [&'static str], bool);

/// At the boundaries of three UTC days.
const SCHEDULES: [Made; 7] = [
    ("before", "2029-12-31T23:59:59.999Z", 60, &["Ann"], false),
    ("shift", "2030-01-01T00:00:00Z", 90, &["Ann", "Bob"], false),
    ("shift", "2030-01-01T23:59:59.999Z", 30, &["ann"], true),
    ("shift", "2030-01-02T00:00:00Z", 15, &["Bob"], false),
    ("<script>", "2030-01-02T01:30:00+02:00", 60, &["=cmd()", "Bob"], false),
    ("talk", "2030-01-02T12:00:00Z", 45, &[], false),
    ("after", "2030-01-03T00:00:00Z", 60, &["Bob"], false),
];

async fn fill(store: &Store, tenant: &TenantId) {
    for (title, starts_at, minutes, attendees, is_recurring) in SCHEDULES {
        let start = DateTime::parse_from_rfc3339(starts_at).unwrap();
        let raw = RawSchedule {
            title: title.to_owned(),
            starts_at: starts_at.to_owned(),
            ends_at: (start + TimeDelta::minutes(minutes)).to_rfc3339(),
            recurrence: is_recurring.then(|| "FREQ=DAILY;COUNT=3".to_owned()),
            attendees: attendees.iter().map(|name| (*name).to_owned()).collect(),
        };
        store.create_schedule(tenant, &ScheduleDraft::try_new(&raw).unwrap()).await.unwrap();
    }
}

fn sum(schedules: u64, recurring: u64, minutes: u64) -> Sum {
    Sum { schedules, recurring, seconds: minutes * 60 }
}

pub(crate) async fn sums_are_those_of_the_span_however_it_is_cut(ground: &Ground) {
    let (store, tenant) = ground.with_tenant().await;
    fill(&store, &tenant).await;
    let time = |text: &str| DateTime::parse_from_rfc3339(text).unwrap().with_timezone(&Utc);
    let span = time("2030-01-01T00:00:00Z")..time("2030-01-03T00:00:00Z");
    for size in [1, 2, 5, 100] {
        let mut snapshot = store.snapshot().await.unwrap();
        assert_eq!(snapshot.count_starting(&tenant, &span).await.unwrap(), 5);
        let mut found: [BTreeMap<String, Sum>; 3] = Default::default();
        let mut last = None;
        loop {
            let stretch = snapshot.stretch(&tenant, &span, size, last).await.unwrap();
            let days = snapshot.sums_by_day(&tenant, &stretch).await.unwrap();
            assert!(days.iter().map(|(_, sum)| sum.schedules).sum::<u64>() <= u64::from(size));
            let days = days.into_iter().map(|(day, sum)| (day.to_string(), sum)).collect();
            let titles = snapshot.sums_by_name(&tenant, &stretch, Named::Title).await.unwrap();
            let attendees = snapshot.sums_by_name(&tenant, &stretch, Named::Attendee).await.unwrap();
            for (known, new) in found.iter_mut().zip([days, titles, attendees]) {
                for (name, sum) in new {
                    let known = known.entry(name).or_default();
                    *known = known.and(sum);
                }
            }
            if stretch.is_last {
                break;
            }
            last = Some(stretch);
        }
        let expected = |lines: &[(&str, Sum)]| lines.iter().map(|(name, sum)| ((*name).to_owned(), *sum)).collect();
        // The one at half past one in another zone starts on the day before in UTC.
        assert_eq!(found[0], expected(&[("2030-01-01", sum(3, 1, 180)), ("2030-01-02", sum(2, 0, 60))]), "{size}");
        assert_eq!(
            found[1],
            expected(&[("shift", sum(3, 1, 135)), ("<script>", sum(1, 0, 60)), ("talk", sum(1, 0, 45))])
        );
        assert_eq!(
            found[2],
            expected(&[
                ("Ann", sum(1, 0, 90)),
                ("ann", sum(1, 1, 30)),
                ("Bob", sum(3, 0, 165)),
                ("=cmd()", sum(1, 0, 60))
            ])
        );
    }
    let other = "other".parse().unwrap();
    assert_eq!(store.snapshot().await.unwrap().count_starting(&other, &span).await.unwrap(), 0);
}
