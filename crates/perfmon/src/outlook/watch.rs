//! All of it for many figures.

use std::collections::{BTreeMap, VecDeque};

use serde::Serialize;

use super::anomaly::{Anomaly, Detector};
use super::forecast::{Forecast, Reach, forecast};
use super::history::{DAY, History, Point, Refused};
use super::trend::{Trend, trend};

/// How far an [`Outlook`] looks and how much it remembers.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Settings {
    /// How many minutes a forecast looks ahead; 60.
    pub horizon: usize,
    /// How many anomalies are remembered; 200.
    pub anomalies: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self { horizon: 60, anomalies: 200 }
    }
}

/// An anomaly and whose it is.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct ToldAnomaly {
    /// The figure's name.
    pub name: String,
    /// The minute in which it was found.
    pub minute: u64,
    /// Its figures: while it goes on, those of the last minute.
    #[serde(flatten)]
    pub anomaly: Anomaly,
    /// The minute in which it ended.
    pub ended: Option<u64>,
}

/// The state of one figure.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Figure {
    /// The figure's name.
    pub name: String,
    /// Its last value.
    pub last: Point,
    /// Only a significant one.
    pub trend: Option<Trend>,
    /// The forecast, if the back-test allows it.
    pub forecast: Option<Forecast>,
}

/// History, trend, anomaly and forecast of up to 64 figures.
///
/// Push one value a figure and minute; 2.5 MB when full.
#[derive(Debug, Default)]
pub struct Outlook {
    settings: Settings,
    history: History,
    detectors: BTreeMap<String, Detector>,
    anomalies: VecDeque<ToldAnomaly>,
}

impl Outlook {
    /// One that knows nothing yet.
    pub fn new(settings: Settings) -> Self {
        Self { settings, ..Self::default() }
    }

    /// Takes in a figure's next minute. Returns an anomaly when one begins with it.
    ///
    /// `floor` is the smallest deviation that is used (see [`Detector::new`]). It is set by the
    /// first push of a name. This method rejects the same values as [`History::push`]. A missing
    /// minute ends a row of unusual minutes.
    pub fn push(&mut self, name: &str, minute: u64, value: f64, floor: f64) -> Option<ToldAnomaly> {
        let before = self.history.points(name).last().map(|point| point.minute);
        if !self.history.push(name, minute, value) {
            return None;
        }
        if !self.detectors.contains_key(name) {
            self.forget_dropped(minute);
        }
        let detector = self.detectors.entry(name.to_owned()).or_insert_with(|| Detector::new(floor));
        if before.is_some_and(|before| minute - before >= DAY) {
            *detector = Detector::new(floor);
        } else if before.is_some_and(|before| minute - before > 1) {
            detector.skip();
        }
        let begun = detector.observe(value);
        let now = detector.anomaly().copied();
        self.update(name, minute, now);
        let told = ToldAnomaly { name: name.to_owned(), minute, anomaly: begun?, ended: None };
        self.anomalies.push_front(told.clone());
        self.anomalies.truncate(self.settings.anomalies);
        Some(told)
    }

    /// The newest first, those that go on among them.
    pub fn anomalies(&self) -> impl Iterator<Item = &ToldAnomaly> {
        self.anomalies.iter()
    }

    /// Returns the minutes of each figure.
    pub fn history(&self) -> &History {
        &self.history
    }

    /// Returns how many values were not kept.
    pub fn refused(&self) -> Refused {
        self.history.refused()
    }

    /// The trend of a figure, significant or not.
    pub fn trend(&self, name: &str) -> Option<Trend> {
        trend(self.history.points(name))
    }

    /// Returns the forecast of a figure.
    pub fn forecast(&self, name: &str) -> Option<Forecast> {
        forecast(self.history.points(name), self.settings.horizon)
    }

    /// When a figure reaches a limit.
    pub fn reach(&self, name: &str, limit: f64) -> Option<Reach> {
        let last = self.history.points(name).last()?;
        self.forecast(name)?.reach(&self.trend(name)?, last.value, limit)
    }

    /// Returns every figure, in alphabetical order. Costs about four milliseconds a figure, a
    /// quarter of a second for 64. Call it once a minute, away from the threads that serve
    /// requests, and keep the result.
    pub fn figures(&self) -> Vec<Figure> {
        self.history
            .names()
            .filter_map(|name| {
                let points = self.history.points(name);
                Some(Figure {
                    name: name.to_owned(),
                    last: *points.last()?,
                    trend: trend(points).filter(Trend::is_significant),
                    forecast: forecast(points, self.settings.horizon),
                })
            })
            .collect()
    }

    /// The history may have dropped a name for a new one.
    fn forget_dropped(&mut self, minute: u64) {
        let history = &self.history;
        self.detectors.retain(|name, _| !history.points(name).is_empty());
        for told in self.anomalies.iter_mut().filter(|told| !self.detectors.contains_key(&told.name)) {
            told.ended.get_or_insert(minute);
        }
    }

    /// Copies the detector's state into the reported anomaly, or notes that it is over.
    fn update(&mut self, name: &str, minute: u64, now: Option<Anomaly>) {
        let open = self.anomalies.iter_mut().find(|told| told.name == name && told.ended.is_none());
        if let Some(told) = open {
            match now {
                Some(anomaly) => told.anomaly = anomaly,
                None => told.ended = Some(minute),
            }
        }
    }
}
