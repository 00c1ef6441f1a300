//! When advice is followed.

use tidegate_perfmon::action::{Actuator, Entry, Outcome, Refused, RevertError, Settings};
use tidegate_perfmon::advice::CacheSignals;

use crate::support::{Dial, Run, capacity, enabled, minute};

#[test]
fn nothing_changes_unless_it_is_enabled() {
    let dial = capacity();
    let mut run = Run::new(Settings::default(), &[&dial]);
    assert_eq!(run.minutes(100, 400), []);
    assert!(dial.given.lock().unwrap().is_empty());
}

#[test]
fn advice_is_followed_by_one_step_and_kept_when_nothing_is_worse() {
    let dial = capacity();
    let (mut run, entry) = Run::changed(enabled(), &dial);
    assert_eq!((entry.actuator.as_str(), entry.from, entry.to), ("cache:c", 1000.0, 1250.0));
    assert_eq!((entry.advice, entry.minute, &entry.outcome), ("more-room", 2, &Outcome::OnTrial));
    assert!(!entry.evidence.is_empty());
    assert_eq!(run.minutes(4, 300), [], "on trial");
    let judged = run.minutes(1, 300);
    assert_eq!((judged.len(), judged[0].id, &judged[0].outcome), (1, entry.id, &Outcome::Kept));
    assert_eq!(dial.now(), 1250.0);
    assert_eq!(run.minutes(4, 300), [], "ten minutes from one to the next");
    assert_eq!(run.minutes(1, 300)[0].from, 1250.0);
}

#[test]
fn six_changes_a_day_and_no_more() {
    let dial = Dial::new("cache:c", 1000.0, 1.0..=1e9, 0.0);
    let mut run = Run::new(enabled(), &[&dial]);
    let changes = |told: &[Entry]| told.iter().filter(|entry| entry.outcome == Outcome::OnTrial).count();
    let first_day = run.minutes(1440, 400);
    assert_eq!(changes(&first_day), 6);
    assert_eq!(changes(&run.minutes(1440, 400)), 6);
}

#[test]
fn one_at_a_time_also_of_several() {
    let (cache, other) = (capacity(), Dial::new("cache:d", 10.0, 1.0..=100.0, 1.0));
    let mut run = Run::new(enabled(), &[&cache, &other]);
    let mut on_trial = 0;
    for at in 0..200 {
        let mut signals = minute(at, 300);
        signals.caches.push(CacheSignals { hits: 1, misses: 999, evictions: 999, ..CacheSignals::new("d") });
        for entry in run.minute(signals) {
            on_trial += if entry.outcome == Outcome::OnTrial { 1 } else { -1 };
        }
        assert!((0..=1).contains(&on_trial), "minute {at}");
    }
    assert!(cache.now() > 1000.0 || other.now() > 10.0);
}

#[test]
fn a_refused_change_is_logged_and_not_requested_again() {
    let dial = capacity();
    dial.refuse(true);
    let (mut run, entry) = Run::changed(enabled(), &dial);
    assert_eq!(entry.outcome, Outcome::Refused { reason: "not now".to_owned() });
    assert_eq!(run.actions.revert(entry.id), Err(RevertError::NotInForce { id: entry.id }));
    assert_eq!(run.minutes(1000, 400), []);
}

#[test]
fn a_refusal_shows_no_secret_and_is_short() {
    let refused = Refused::new("redis://user:hunter2@host refused, password=hunter2").to_string();
    assert!(refused.contains("refused") && !refused.contains("hunter2"), "{refused}");
    assert_eq!(Refused::new(&"long ".repeat(10_000)).to_string().len(), 200);
}

#[test]
fn advice_with_low_confidence_is_not_followed() {
    let mut settings = enabled();
    settings.confidence = 0.99;
    let dial = capacity();
    assert_eq!(Run::new(settings, &[&dial]).minutes(100, 400), []);
}

#[test]
fn whole_numbers_stay_whole_and_small_ones_where_they_are() {
    let step = |value: f64| {
        let dial = Dial::new("cache:c", value, 1.0..=64.0, 1.0);
        Run::new(enabled(), &[&dial]).minutes(3, 400);
        dial.now()
    };
    assert_eq!(
        [step(2.0), step(3.0), step(4.0), step(6.0), step(8.0), step(60.0), step(64.0)],
        [2.0, 3.0, 5.0, 7.0, 10.0, 64.0, 64.0]
    );
}

#[test]
fn the_journal_is_bounded_and_newest_first() {
    let mut settings = enabled();
    settings.journal = 3;
    let dial = Dial::new("cache:c", 1000.0, 1.0..=1e9, 0.0);
    let mut run = Run::new(settings, &[&dial]);
    run.minutes(1000, 400);
    let ids: Vec<u64> = run.actions.journal().map(|entry| entry.id).collect();
    assert_eq!(ids, [6, 5, 4]);
    let json = serde_json::to_value(run.actions.journal().next().unwrap()).unwrap();
    assert_eq!((&json["outcome"]["state"], &json["advice"]), (&"kept".into(), &"more-room".into()));
}
