//! A number that may be set, and minutes as an application goes through them.

use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex};

use tidegate_perfmon::action::{Actions, Actuator, Entry, Refused, Settings};
use tidegate_perfmon::advice::{ApiSignals, CacheSignals, Limits, Signals, advise};

/// A number, and every value it was given.
pub(crate) struct Dial {
    pub(crate) name: String,
    pub(crate) value: Mutex<f64>,
    pub(crate) bounds: RangeInclusive<f64>,
    pub(crate) grain: f64,
    pub(crate) refuses: Mutex<bool>,
    pub(crate) given: Mutex<Vec<f64>>,
}

impl Dial {
    pub(crate) fn new(name: &str, value: f64, bounds: RangeInclusive<f64>, grain: f64) -> Arc<Self> {
        let (value, refuses, given) = (value.into(), false.into(), Mutex::default());
        Arc::new(Self { name: name.to_owned(), value, bounds, grain, refuses, given })
    }

    pub(crate) fn refuse(&self, refuses: bool) {
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

pub(crate) fn enabled() -> Settings {
    let mut settings = Settings::default();
    settings.enabled = true;
    settings
}

pub(crate) fn capacity() -> Arc<Dial> {
    Dial::new("cache:c", 1000.0, 100.0..=2000.0, 1.0)
}

/// Returns the signals of a minute in which a cache that is too small has `misses` misses in a
/// thousand lookups.
pub(crate) fn minute(minute: u64, misses: u64) -> Signals {
    let mut signals = Signals::new(minute);
    let cache = CacheSignals::new("c");
    signals.caches.push(CacheSignals { hits: 1000 - misses, misses, evictions: misses, ..cache });
    signals.api = Some(ApiSignals { requests: 1000, errors: 1, p99: Some(0.1), in_flight: Some(1.0) });
    signals
}

/// Minutes as the application would go through them.
pub(crate) struct Run {
    pub(crate) actions: Actions,
    pub(crate) minutes: Vec<Signals>,
    pub(crate) told: Vec<Entry>,
}

impl Run {
    pub(crate) fn new(settings: Settings, dials: &[&Arc<Dial>]) -> Self {
        let actuators = dials.iter().map(|dial| Arc::clone(dial) as Arc<dyn Actuator>).collect();
        Self { actions: Actions::new(settings, actuators), minutes: Vec::new(), told: Vec::new() }
    }

    pub(crate) fn next(&self) -> u64 {
        self.minutes.last().map_or(0, |signals| signals.minute + 1)
    }

    pub(crate) fn minute(&mut self, signals: Signals) -> Vec<Entry> {
        self.minutes.push(signals);
        let advice = advise(&Limits::default(), &self.minutes);
        let told = self.actions.consider(&self.minutes, &advice);
        self.told.extend(told.iter().cloned());
        told
    }

    pub(crate) fn minutes(&mut self, count: u64, misses: u64) -> Vec<Entry> {
        (0..count)
            .flat_map(|_| {
                let next = self.next();
                self.minute(minute(next, misses))
            })
            .collect()
    }

    /// Until the first change.
    pub(crate) fn changed(settings: Settings, dial: &Arc<Dial>) -> (Self, Entry) {
        let mut run = Self::new(settings, &[dial]);
        let told = run.minutes(3, 400);
        assert_eq!(told.len(), 1, "{told:?}");
        (run, told[0].clone())
    }
}
