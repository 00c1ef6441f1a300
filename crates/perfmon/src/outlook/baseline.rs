//! What a figure usually is: its last day, without what was found unusual.

use std::collections::VecDeque;

use serde::Serialize;

use super::{history, order};

/// The most that a baseline remembers: a day, so that it holds every hour of it.
const MOST: usize = 1440;
/// Makes the median absolute deviation of normal noise its standard deviation.
const TO_DEVIATIONS: f64 = 1.4826;
/// One in this many may be beyond the range that counts as nearly all, so that an old spike hides
/// no new one.
const OF_MANY: usize = 288;
/// The width of a histogram's bucket, and a little more: smaller changes are not significant for
/// any figure.
const RELATIVE_FLOOR: f64 = 0.02;

/// Further out nothing becomes clearer, and numbers stay such that can be shown.
const MOST_DEVIATIONS: f64 = 1e6;

/// Numbers in the order of their arrival and in that of their size.
#[derive(Debug)]
pub(super) struct Baseline {
    arrived: VecDeque<f64>,
    sorted: Vec<f64>,
    floor: f64,
}

/// The side on which a figure left its usual range.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Side {
    /// Above what is usual.
    Above,
    /// Below it.
    Below,
}

/// How far out a value is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Distance {
    pub(super) side: Side,
    /// In deviations, never negative.
    pub(super) deviations: f64,
}

impl Baseline {
    /// `floor` is the least deviation that is believed, in the unit of the values.
    pub(super) fn new(floor: f64) -> Self {
        let floor = if history::is_figure(floor) { floor.max(f64::MIN_POSITIVE) } else { f64::MIN_POSITIVE };
        Self { arrived: VecDeque::new(), sorted: Vec::new(), floor }
    }

    pub(super) fn len(&self) -> usize {
        self.sorted.len()
    }

    pub(super) fn median(&self) -> Option<f64> {
        order::median_of_sorted(&self.sorted)
    }

    /// The value is a figure.
    pub(super) fn push(&mut self, value: f64) {
        if self.arrived.len() == MOST
            && let Some(oldest) = self.arrived.pop_front()
        {
            let place = self.sorted.partition_point(|other| *other < oldest);
            self.sorted.remove(place);
        }
        self.arrived.push_back(value);
        let place = self.sorted.partition_point(|other| *other < value);
        self.sorted.insert(place, value);
    }

    /// On which side a value lies beyond all but a few of the baseline.
    ///
    /// It assumes no distribution of the noise. With steady noise, whatever its tails, few minutes
    /// pass this test, and three in a row almost never do.
    pub(super) fn beyond(&self, value: f64) -> Option<Side> {
        let few = self.len() / OF_MANY;
        let (&low, &high) = (self.sorted.get(few)?, self.sorted.get(self.len().checked_sub(few + 1)?)?);
        match value {
            _ if value > high => Some(Side::Above),
            _ if value < low => Some(Side::Below),
            _ => None,
        }
    }

    /// How far from the median a value lies: the modified z-score of Iglewicz and Hoaglin.
    ///
    /// Noise may be additive or multiplicative; that of latencies is multiplicative. So the
    /// distance is measured on the values or on their logarithms, whichever are more symmetric
    /// around their median.
    pub(super) fn distance(&self, value: f64) -> Option<Distance> {
        let median = self.median()?;
        let side = if value >= median { Side::Above } else { Side::Below };
        let floor = self.floor + RELATIVE_FLOOR * median.abs();
        let away = (value - median).abs();
        let deviations = if self.multiplies(median) {
            let ratio = (logarithm(value) - logarithm(median)).abs();
            (ratio / self.spread(logarithm(median), logarithm)?.max(RELATIVE_FLOOR)).min(away / floor)
        } else {
            away / self.spread(median, |value| value)?.max(floor)
        };
        Some(Distance { side, deviations: deviations.min(MOST_DEVIATIONS) })
    }

    /// Returns whether the logarithms of the inner nine tenths are more symmetric around the median
    /// than the values.
    fn multiplies(&self, median: f64) -> bool {
        let twentieth = self.len() / 20;
        let (Some(&low), Some(&high)) = (self.sorted.get(twentieth), self.sorted.iter().rev().nth(twentieth)) else {
            return false;
        };
        if self.sorted[0] < 0.0 || low <= 0.0 || low == high {
            return false;
        }
        let lopsided = |low: f64, median: f64, high: f64| ((high - median) - (median - low)).abs() / (high - low);
        lopsided(logarithm(low), logarithm(median), logarithm(high)) < lopsided(low, median, high)
    }

    fn spread(&self, middle: f64, scale: impl Fn(f64) -> f64) -> Option<f64> {
        let mut away: Vec<f64> = self.sorted.iter().map(|&value| (scale(value) - middle).abs()).collect();
        Some(TO_DEVIATIONS * order::median(&mut away)?)
    }

    /// Returns how much more the mean of three minutes in a row deviates than that of three
    /// independent minutes.
    ///
    /// Autocorrelated noise stays outside for longer, so three minutes in a row mean less.
    pub(super) fn persistence(&self) -> f64 {
        let alike = self.likeness();
        (1.0 + alike * 4.0 / 3.0 + alike * alike * 2.0 / 3.0).sqrt()
    }

    /// The first autocorrelation, of ranks, which no outlier bends.
    fn likeness(&self) -> f64 {
        let middle = (self.len() as f64 - 1.0) / 2.0;
        let ranks: Vec<f64> = self
            .arrived
            .iter()
            .map(|&value| {
                let below = self.sorted.partition_point(|other| *other < value);
                let equal = self.sorted[below..].partition_point(|other| *other <= value);
                below as f64 + (equal as f64 - 1.0) / 2.0 - middle
            })
            .collect();
        let square: f64 = ranks.iter().map(|rank| rank * rank).sum();
        let product: f64 = ranks.windows(2).map(|pair| pair[0] * pair[1]).sum();
        order::corrected(product / square, self.len())
    }
}

/// Returns the logarithm of a value. Zero and negative values, which a new value may be, count as
/// the smallest number.
fn logarithm(value: f64) -> f64 {
    value.max(f64::MIN_POSITIVE).ln()
}
