//! Silences.

use tidegate_perfmon::{Alerts, Phase, Silence, SilenceError};

use crate::support::{alerts, at, phases, rule, seen, silence};

#[test]
fn a_silence_mutes_ends_by_itself_and_is_listed() {
    let mut alerts = alerts([rule(0, 0, 60)]);
    alerts.silence(silence("r", Some("a"), 100), 0).unwrap();
    let [a, b] = ["a", "b"].map(|subject| seen(Some(true)).subject(subject));
    let fired = at(&mut alerts, 1, &[a.clone(), b.clone()]);
    let notified: Vec<_> = fired.iter().filter(|step| step.notify).map(|step| step.alert.subject.as_str()).collect();
    assert_eq!(notified, ["b"]);
    assert!(alerts.list(10).iter().all(|alert| alert.silenced == (alert.subject == "a")));
    assert_eq!(alerts.silences(99_999).len(), 1);
    assert_eq!(at(&mut alerts, 99, &[a.clone(), b.clone()]), []);
    // It still fires when the silence is over, so operators are notified then.
    let unmuted = at(&mut alerts, 100, &[a, b]);
    assert_eq!(phases(&unmuted), [(Some(Phase::Firing), Phase::Firing, true)]);
    assert_eq!(alerts.silences(100_000), []);
    // Operators were notified of both, so they are notified of both ends, also under a new silence.
    alerts.silence(silence("r", None, 1000), 100_000).unwrap();
    let [a, b] = ["a", "b"].map(|subject| seen(Some(false)).subject(subject));
    let ended = at(&mut alerts, 101, &[a, b]);
    assert!(ended.len() == 2 && ended.iter().all(|step| step.notify));
    assert!(alerts.lift_silence("r", None));
    assert!(!alerts.lift_silence("r", None));
}

#[test]
fn silences_that_make_no_sense_are_refused() {
    let mut alerts = alerts([rule(0, 0, 60)]);
    let day = 24 * 3600;
    let refused = |alerts: &mut Alerts, silence| alerts.silence(silence, 5000).unwrap_err();
    assert!(
        matches!(refused(&mut alerts, silence(&"é".repeat(9999), None, 10)), SilenceError::UnknownRule { rule } if rule.len() == 64)
    );
    assert!(matches!(refused(&mut alerts, silence("r", None, 5)), SilenceError::Past { .. }));
    assert!(matches!(refused(&mut alerts, silence("r", None, 31 * day)), SilenceError::TooLong { .. }));
    let long = "x".repeat(257);
    assert!(matches!(
        refused(&mut alerts, silence("r", Some(&long), 10)),
        SilenceError::Text { field: "subject", given: 257 }
    ));
    let talkative = Silence { reason: long, ..silence("r", None, 10) };
    assert!(matches!(refused(&mut alerts, talkative), SilenceError::Text { field: "reason", .. }));
    for subject in 0..256 {
        alerts.silence(silence("r", Some(&subject.to_string()), 10), 5000).unwrap();
        alerts.silence(silence("r", Some(&subject.to_string()), 11), 5000).expect("the same again takes its place");
    }
    assert_eq!(refused(&mut alerts, silence("r", None, 10)), SilenceError::TooMany);
    alerts.silence(silence("r", None, 20), 11_000).expect("those that are over take no room");
    assert_eq!(alerts.silences(11_000).len(), 1);
}
