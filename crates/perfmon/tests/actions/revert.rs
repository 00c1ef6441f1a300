//! When a change is reverted.

use tidegate_perfmon::action::{Actuator, Outcome, RevertError};
use tidegate_perfmon::advice::{ApiSignals, Limits, Signals, advise};

use crate::support::{Dial, Run, capacity, enabled, minute};

#[test]
fn a_change_that_worsens_its_symptom_is_reverted_and_not_repeated() {
    let dial = capacity();
    let (mut run, _) = Run::changed(enabled(), &dial);
    let judged = run.minutes(5, 430);
    assert!(matches!(&judged[0].outcome, Outcome::Reverted { minute: Some(7), reason } if reason.contains("symptom")));
    assert_eq!(dial.now(), 1000.0);
    assert_eq!(run.minutes(1439, 430), [], "no further change for a day");
    assert_eq!(run.minutes(1, 430).len(), 1);
}

#[test]
fn a_change_that_worsens_other_figures_is_reverted_too() {
    type Harm = fn(&mut ApiSignals);
    let harms: [(Harm, &str); 2] = [(|api| api.p99 = Some(0.2), "P99"), (|api| api.errors = 50, "errors")];
    for (harm, named) in harms {
        let dial = capacity();
        let (mut run, _) = Run::changed(enabled(), &dial);
        let mut told = Vec::new();
        for _ in 0..5 {
            let mut signals = minute(run.next(), 100); // the symptom is better
            harm(signals.api.as_mut().unwrap());
            told.extend(run.minute(signals));
        }
        assert!(matches!(&told[0].outcome, Outcome::Reverted { reason, .. } if reason.contains(named)), "{told:?}");
        assert_eq!(dial.now(), 1000.0);
    }
}

#[test]
fn a_change_without_data_about_its_effect_is_reverted() {
    let dial = capacity();
    let (mut run, _) = Run::changed(enabled(), &dial);
    for _ in 0..14 {
        let next = run.next();
        run.minute(Signals::new(next));
    }
    // The first minutes behind the change show nothing, and later ones are not older ones.
    assert_eq!(dial.now(), 1250.0);
    let next = run.next();
    let told = run.minute(Signals::new(next));
    assert!(matches!(&told[0].outcome, Outcome::Reverted { reason, .. } if reason.contains("nothing was to be seen")));
    assert_eq!(dial.now(), 1000.0);
}

#[test]
fn a_change_that_cannot_be_reverted_is_left_and_reported() {
    let dial = capacity();
    let (mut run, entry) = Run::changed(enabled(), &dial);
    dial.refuse(true);
    let told = run.minutes(5, 900);
    assert!(matches!(&told[0].outcome, Outcome::Left { reason } if reason.contains("not now")), "{told:?}");
    assert_eq!(run.minutes(100, 900), [], "and is not changed again");
    dial.refuse(false);
    assert_eq!(run.actions.revert(entry.id).unwrap().from, 1000.0);
    assert_eq!(dial.now(), 1000.0);
}

#[test]
fn a_value_set_by_another_party_is_not_overwritten() {
    let dial = capacity();
    let (mut run, entry) = Run::changed(enabled(), &dial);
    dial.set(1800.0).unwrap();
    assert_eq!(run.actions.revert(entry.id), Err(RevertError::Overtaken { id: entry.id, now: 1800.0 }));
    assert!(matches!(&run.minutes(5, 900)[0].outcome, Outcome::Left { reason } if reason.contains("1800")));
    assert_eq!(dial.now(), 1800.0);
}

/// Up, down and up again: the value that the first change set is in force, but a later change set
/// it.
#[test]
fn an_earlier_change_waits_for_the_later_ones() {
    let dial = Dial::new("cache:c", 100.0, 1.0..=1000.0, 1.0);
    let mut run = Run::new(enabled(), &[&dial]);
    run.minutes(5, 400);
    assert!(run.told.len() == 1 && dial.now() == 125.0);
    let mut advice = advise(&Limits::default(), &run.minutes);
    for factor in [0.8, 1.25] {
        advice[0].action.as_mut().unwrap().factor = factor;
        for _ in 0..10 {
            let next = run.next();
            run.minutes.push(minute(next, 400));
            run.actions.consider(&run.minutes, &advice);
        }
    }
    assert_eq!(dial.given.lock().unwrap()[..], [125.0, 100.0, 125.0]);
    assert_eq!(run.actions.revert(1), Err(RevertError::Overtaken { id: 1, now: 125.0 }));
    for (id, left) in [(3, 100.0), (2, 125.0), (1, 100.0)] {
        assert!(run.actions.revert(id).is_ok());
        assert_eq!(dial.now(), left);
    }
}

#[test]
fn a_change_that_an_operator_reverted_is_not_repeated() {
    let dial = capacity();
    let (mut run, entry) = Run::changed(enabled(), &dial);
    let reverted = run.actions.revert(entry.id).unwrap();
    assert!(matches!(reverted.outcome, Outcome::Reverted { minute: None, .. }));
    assert_eq!(dial.now(), 1000.0);
    assert_eq!(run.actions.revert(entry.id), Err(RevertError::NotInForce { id: entry.id }));
    assert_eq!(run.actions.revert(99), Err(RevertError::Unknown { id: 99 }));
    assert_eq!(run.minutes(1000, 400), []);
}

#[test]
fn a_harmful_change_is_reverted_even_when_switched_off() {
    let dial = capacity();
    let (mut run, _) = Run::changed(enabled(), &dial);
    run.actions.set_enabled(false);
    run.minutes(5, 900);
    assert_eq!(dial.now(), 1000.0);
    assert_eq!(run.minutes(2000, 400), []);
}
