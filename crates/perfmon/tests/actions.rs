//! What changes by itself stays within its bounds, and goes back.

#![allow(clippy::unwrap_used, reason = "a test ends where it is surprised")]

use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex};

use proptest::prelude::*;
use tidegate_perfmon::action::{Actions, Actuator, Entry, Outcome, Refused, RevertError, Settings};
use tidegate_perfmon::advice::{Advice, ApiSignals, CacheSignals, Limits, Signals, advise};

/// A number, and every value it was given.
struct Dial {
    name: String,
    value: Mutex<f64>,
    bounds: RangeInclusive<f64>,
    grain: f64,
    refuses: Mutex<bool>,
    given: Mutex<Vec<f64>>,
}

impl Dial {
    fn new(name: &str, value: f64, bounds: RangeInclusive<f64>, grain: f64) -> Arc<Self> {
        let (value, refuses, given) = (value.into(), false.into(), Mutex::default());
        Arc::new(Self { name: name.to_owned(), value, bounds, grain, refuses, given })
    }

    fn refuse(&self, refuses: bool) {
        *self.refuses.lock().unwrap() = refuses;
    }
}

impl Actuator for Dial {
    fn name(&self) -> &str {
        &self.name
    }

    fn now(&self) -> f64 {
        *self.value.lock().unwrap()
    }

    fn bounds(&self) -> RangeInclusive<f64> {
        self.bounds.clone()
    }

    fn grain(&self) -> f64 {
        self.grain
    }

    fn set(&self, to: f64) -> Result<(), Refused> {
        if *self.refuses.lock().unwrap() {
            return Err(Refused::new("not now"));
        }
        self.given.lock().unwrap().push(to);
        *self.value.lock().unwrap() = to;
        Ok(())
    }
}

fn enabled() -> Settings {
    let mut settings = Settings::default();
    settings.enabled = true;
    settings
}

fn capacity() -> Arc<Dial> {
    Dial::new("cache:c", 1000.0, 100.0..=2000.0, 1.0)
}

/// A minute of a cache that is too small, with so many misses in a thousand look-ups.
fn minute(minute: u64, misses: u64) -> Signals {
    let mut signals = Signals::new(minute);
    let cache = CacheSignals::new("c");
    signals.caches.push(CacheSignals { hits: 1000 - misses, misses, evictions: misses, ..cache });
    signals.api = Some(ApiSignals { requests: 1000, errors: 1, p99: Some(0.1), in_flight: Some(1.0) });
    signals
}

/// Minutes as the application would go through them.
struct Run {
    actions: Actions,
    minutes: Vec<Signals>,
    told: Vec<Entry>,
}

impl Run {
    fn new(settings: Settings, dials: &[&Arc<Dial>]) -> Self {
        let actuators = dials.iter().map(|dial| Arc::clone(dial) as Arc<dyn Actuator>).collect();
        Self { actions: Actions::new(settings, actuators), minutes: Vec::new(), told: Vec::new() }
    }

    fn next(&self) -> u64 {
        self.minutes.last().map_or(0, |signals| signals.minute + 1)
    }

    fn minute(&mut self, signals: Signals) -> Vec<Entry> {
        self.minutes.push(signals);
        let advice = advise(&Limits::default(), &self.minutes);
        let told = self.actions.consider(&self.minutes, &advice);
        self.told.extend(told.iter().cloned());
        told
    }

    fn minutes(&mut self, count: u64, misses: u64) -> Vec<Entry> {
        (0..count)
            .flat_map(|_| {
                let next = self.next();
                self.minute(minute(next, misses))
            })
            .collect()
    }

    /// Until the first change.
    fn changed(settings: Settings, dial: &Arc<Dial>) -> (Self, Entry) {
        let mut run = Self::new(settings, &[dial]);
        let told = run.minutes(3, 400);
        assert_eq!(told.len(), 1, "{told:?}");
        (run, told[0].clone())
    }
}

#[test]
fn nothing_happens_unless_asked_for() {
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
fn what_makes_its_symptom_worse_is_taken_back_and_not_tried_again() {
    let dial = capacity();
    let (mut run, _) = Run::changed(enabled(), &dial);
    let judged = run.minutes(5, 430);
    assert!(matches!(&judged[0].outcome, Outcome::Reverted { minute: Some(7), reason } if reason.contains("symptom")));
    assert_eq!(dial.now(), 1000.0);
    assert_eq!(run.minutes(1439, 430), [], "a day of rest");
    assert_eq!(run.minutes(1, 430).len(), 1);
}

#[test]
fn what_makes_all_else_worse_is_taken_back_too() {
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
fn a_change_that_nothing_shows_the_effect_of_is_taken_back() {
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
fn a_refusal_is_written_down_and_not_asked_for_again() {
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
fn what_cannot_be_taken_back_is_left_and_said() {
    let dial = capacity();
    let (mut run, entry) = Run::changed(enabled(), &dial);
    dial.refuse(true);
    let told = run.minutes(5, 900);
    assert!(matches!(&told[0].outcome, Outcome::Left { reason } if reason.contains("not now")), "{told:?}");
    assert_eq!(run.minutes(100, 900), [], "and left alone");
    dial.refuse(false);
    assert_eq!(run.actions.revert(entry.id).unwrap().from, 1000.0);
    assert_eq!(dial.now(), 1000.0);
}

#[test]
fn a_value_of_somebody_elses_is_not_overwritten() {
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
fn whoever_takes_a_change_back_is_not_contradicted() {
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
fn switched_off_it_still_takes_back_what_does_harm() {
    let dial = capacity();
    let (mut run, _) = Run::changed(enabled(), &dial);
    run.actions.set_enabled(false);
    run.minutes(5, 900);
    assert_eq!(dial.now(), 1000.0);
    assert_eq!(run.minutes(2000, 400), []);
}

#[test]
fn advice_that_is_not_sure_is_not_followed() {
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

/// What happens in a minute.
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
