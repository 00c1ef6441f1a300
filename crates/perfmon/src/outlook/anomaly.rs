//! When a figure is no longer what it was.

use serde::Serialize;

use super::baseline::{Baseline, Distance, Side};
use super::history::is_figure;

/// The number of minutes that are needed for a judgement.
const FEWEST: usize = 60;
/// Iglewicz and Hoaglin's limit.
const LIMIT: f64 = 3.5;
/// The number of minutes in a row that begin an anomaly, and that end it.
const IN_A_ROW: usize = 3;
/// An anomaly of this many minutes becomes the new baseline.
const NEW_NORMAL: usize = 60;

/// A figure that left its own past, for at least three minutes in a row.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Anomaly {
    /// The side on which it is.
    pub side: Side,
    /// The last value outside.
    pub value: f64,
    /// The median of what is usual.
    pub usual: f64,
    /// How far the least of the first three lay from it, in deviations.
    pub deviations: f64,
    /// The limit that they had to exceed: 3.5, or more if the noise is autocorrelated from minute
    /// to minute.
    pub limit: f64,
    /// How many minutes were outside so far.
    pub minutes: usize,
    /// How many minutes the judgement rests on.
    pub samples: usize,
}

/// Watches one figure a minute.
///
/// Three minutes in a row are unusual if they are all on the same side, more than 3.5 deviations
/// from the median of the last day *and* beyond nearly all of its minutes. A deviation is at least
/// a floor, so that the first step of a constant figure is not unusual. At least 60 minutes are
/// needed for a comparison. Suspicious minutes are not part of the baseline; they join it when the
/// suspicion ends without an anomaly. An anomaly ends after three usual minutes, or after 60
/// unusual ones, which then become the baseline.
///
/// One minute costs a binary search and a move of at most 11 KB, about a microsecond. A suspicious
/// minute costs about ten microseconds. Memory: 23 KB.
#[derive(Debug)]
pub struct Detector {
    floor: f64,
    baseline: Baseline,
    /// Outside, and in no baseline.
    suspects: Vec<Suspect>,
    anomaly: Option<Anomaly>,
    /// Usual minutes in a row, during an anomaly.
    calm: usize,
    refused: u64,
}

#[derive(Debug, Clone, Copy)]
struct Suspect {
    value: f64,
    distance: Distance,
}

impl Detector {
    /// Creates a detector. `floor` is the smallest deviation that is used, in the unit of the
    /// figure: moves of up to 3.5 times that are never unusual. 2 % of the median is always a floor
    /// too.
    pub fn new(floor: f64) -> Self {
        Self { floor, baseline: Baseline::new(floor), suspects: Vec::new(), anomaly: None, calm: 0, refused: 0 }
    }

    /// Takes in the next minute, and returns an anomaly if one begins with it. A value that is not
    /// finite is counted, and treated as a missing minute.
    pub fn observe(&mut self, value: f64) -> Option<Anomaly> {
        if !is_figure(value) {
            self.refused += 1;
            self.skip();
            return None;
        }
        let value = value + 0.0; // no negative zero, which is sorted apart
        let outside = self.outside(value);
        if self.anomaly.is_some() {
            self.go_on(value, outside.is_some());
            return None;
        }
        let Some((distance, limit)) = outside else {
            self.acquit();
            self.baseline.push(value);
            return None;
        };
        if self.suspects.first().is_some_and(|first| first.distance.side != distance.side) {
            self.acquit();
        }
        self.suspects.push(Suspect { value, distance });
        if self.suspects.len() < IN_A_ROW {
            return None;
        }
        let least = self.suspects.iter().map(|suspect| suspect.distance.deviations).fold(f64::INFINITY, f64::min);
        self.calm = 0;
        self.anomaly = Some(Anomaly {
            side: distance.side,
            value,
            usual: self.baseline.median()?,
            deviations: least,
            limit,
            minutes: self.suspects.len(),
            samples: self.baseline.len(),
        });
        self.anomaly
    }

    /// A minute without a figure: it ends a row.
    pub fn skip(&mut self) {
        if self.anomaly.is_none() {
            self.acquit();
        }
        self.calm = 0;
    }

    /// The one that goes on.
    pub fn anomaly(&self) -> Option<&Anomaly> {
        self.anomaly.as_ref()
    }

    /// How many were no figures.
    pub fn refused(&self) -> u64 {
        self.refused
    }

    fn outside(&self, value: f64) -> Option<(Distance, f64)> {
        if self.baseline.len() < FEWEST {
            return None;
        }
        let side = self.baseline.beyond(value)?;
        let distance = self.baseline.distance(value)?;
        if distance.deviations <= LIMIT || distance.side != side {
            return None;
        }
        let limit = LIMIT * self.baseline.persistence();
        (distance.deviations > limit).then_some((distance, limit))
    }

    fn go_on(&mut self, value: f64, is_outside: bool) {
        let Some(anomaly) = &mut self.anomaly else { return };
        if !is_outside {
            self.baseline.push(value);
            self.calm += 1;
            if self.calm == IN_A_ROW {
                self.anomaly = None;
                self.suspects.clear();
            }
            return;
        }
        self.calm = 0;
        anomaly.value = value;
        anomaly.minutes += 1;
        let distance = Distance { side: anomaly.side, deviations: anomaly.deviations };
        self.suspects.push(Suspect { value, distance });
        if self.suspects.len() >= NEW_NORMAL {
            self.anomaly = None;
            self.baseline = Baseline::new(self.floor);
            self.acquit();
        }
    }

    fn acquit(&mut self) {
        for suspect in self.suspects.drain(..) {
            self.baseline.push(suspect.value);
        }
    }
}
