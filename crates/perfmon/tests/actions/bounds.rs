//! Whatever happens, values stay within bounds and changes are reversible.

use proptest::prelude::*;
use tidegate_perfmon::action::{Actuator, Outcome};
use tidegate_perfmon::advice::{Advice, Limits, Signals, advise};

use crate::support::{Dial, Run, enabled, minute};

/// An event of one minute.
#[derive(Debug, Clone)]
enum Event {
    Minute { misses: u64, p99: Option<f64>, factor: f64, confidence: f64 },
    Silence,
    Refuse(bool),
    Revert(u64),
    Jump(u64),
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        12 => (0..1000_u64, prop::option::of(any::<f64>()), any::<f64>(), 0.0..1.5).prop_map(|(misses, p99, factor, confidence)| {
            Event::Minute { misses, p99, factor, confidence }
        }),
        12 => (300..500_u64, 0.5..2.0, 0.6..1.0).prop_map(|(misses, factor, confidence)| {
            Event::Minute { misses, p99: Some(0.1), factor, confidence }
        }),
        2 => Just(Event::Silence),
        1 => any::<bool>().prop_map(Event::Refuse),
        1 => (1..10_u64).prop_map(Event::Revert),
        1 => (0..2000_u64).prop_map(Event::Jump),
    ]
}

proptest! {
    #[test]
    fn never_beyond_bounds_and_always_reversible(
        start in 1.0..1000.0,
        room in (0.0..1.0, 1.0..4.0),
        grain in prop::sample::select(vec![0.0, 1.0, 10.0]),
        events in prop::collection::vec(event(), 0..300),
    ) {
        let bounds = start * room.0..=start * room.1;
        let dial = Dial::new("cache:c", start, bounds.clone(), grain);
        let mut run = Run::new(enabled(), &[&dial]);
        let mut at = 0;
        let template: Advice = advise(&Limits::default(), &(0..5).map(|at| minute(at, 400)).collect::<Vec<_>>())[0].clone();
        for event in events {
            let before = dial.now();
            let advice = match event {
                Event::Minute { misses, p99, factor, confidence } => {
                    let mut signals = minute(at, misses);
                    signals.api.as_mut().unwrap().p99 = p99;
                    run.minutes.push(signals);
                    let mut advice = template.clone();
                    advice.confidence = confidence;
                    advice.action.as_mut().unwrap().factor = factor;
                    vec![advice]
                }
                Event::Silence => {
                    run.minutes.push(Signals::new(at));
                    Vec::new()
                }
                Event::Refuse(refuses) => {
                    dial.refuse(refuses);
                    continue;
                }
                Event::Revert(id) => {
                    let _ = run.actions.revert(id);
                    prop_assert!(bounds.contains(&dial.now()));
                    continue;
                }
                Event::Jump(minutes) => {
                    at += minutes;
                    continue;
                }
            };
            at += 1;
            for entry in run.actions.consider(&run.minutes, &advice) {
                if entry.outcome == Outcome::OnTrial {
                    prop_assert_eq!((entry.from, entry.to), (before, dial.now()));
                    prop_assert!((entry.to - entry.from).abs() <= entry.from * 0.25 + 1e-6, "{:?}", entry);
                }
            }
            prop_assert!(bounds.contains(&dial.now()), "{} {:?}", dial.now(), bounds);
        }
        dial.refuse(false);
        let in_force: Vec<u64> =
            run.actions.journal().filter(|entry| entry.outcome.is_in_force()).map(|entry| entry.id).collect();
        for id in in_force {
            prop_assert!(run.actions.revert(id).is_ok(), "newest first, each can be taken back");
        }
        prop_assert_eq!(dial.now(), start);
    }
}
