//! Whether figures rise or fall, and how fast.

use serde::Serialize;

use super::history::{Point, are_in_order};
use super::{mann_kendall, order, theil_sen};

/// Fewer say nothing.
const FEWEST: usize = 30;
/// More are not looked at: the work grows with the square.
const MOST: usize = 180;
/// The probability below which a trend is significant.
const SIGNIFICANT: f64 = 0.01;
/// The highest autocorrelation, of 1, that is corrected for.
const MOST_ALIKE: f64 = 0.98;

/// How figures moved.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Trend {
    /// In the figure's unit, a minute.
    pub slope: f64,
    /// The slope lies above this with 97.5 % confidence.
    pub low: f64,
    /// And below this.
    pub high: f64,
    /// Probability that a series without a trend moves this much, between 0 and 1.
    pub p_value: f64,
    /// Number of values that it is calculated from.
    pub points: usize,
    /// How many minutes lie between the first and the last of them.
    pub minutes: u64,
}

impl Trend {
    /// Returns whether less than one in a hundred series without a trend would move as much. Do not
    /// report a trend that is not significant.
    pub fn is_significant(&self) -> bool {
        self.p_value < SIGNIFICANT
    }

    /// By how much the figure changed in all.
    pub fn change(&self) -> f64 {
        self.slope * self.minutes as f64
    }
}

/// The trend of the last 180 points; `None` below 30, and of points that
/// [`History`](super::History) would refuse.
///
/// Costs a millisecond or so at 180 points.
pub fn trend(points: &[Point]) -> Option<Trend> {
    let points = &points[points.len().saturating_sub(MOST)..];
    if points.len() < FEWEST || !are_in_order(points) {
        return None;
    }
    let slopes = theil_sen::slopes(points);
    let slope = order::median_of_sorted(&slopes)?;
    let variance = mann_kendall::variance(points) * variance_inflation(points, slope);
    let (low, high) = interval(&slopes, variance);
    Some(Trend {
        slope,
        low,
        high,
        p_value: mann_kendall::p_value(mann_kendall::score(points), variance),
        points: points.len(),
        minutes: points[points.len() - 1].minute - points[0].minute,
    })
}

/// Sen's interval: as many slopes in from either end as Kendall's score varies.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "kept between zero and the number of pairs"
)]
fn interval(slopes: &[f64], variance: f64) -> (f64, f64) {
    let outside = ((slopes.len() as f64 - 1.96 * variance.sqrt()) / 2.0).max(0.0) as usize;
    let outside = outside.min((slopes.len() - 1) / 2);
    (slopes[outside], slopes[slopes.len() - 1 - outside])
}

/// Returns how much more the score varies with autocorrelated noise: (1 + r) / (1 − r). This is the
/// result of Bayley and Hammersley's number of independent observations for a first-order process.
fn variance_inflation(points: &[Point], slope: f64) -> f64 {
    let alike = likeness(points, slope).min(MOST_ALIKE);
    (1.0 + alike) / (1.0 - alike)
}

/// The first autocorrelation of what the slope leaves.
fn likeness(points: &[Point], slope: f64) -> f64 {
    let first = points[0].minute;
    let mut rest: Vec<f64> = points.iter().map(|point| point.value - slope * (point.minute - first) as f64).collect();
    let mean = rest.iter().sum::<f64>() / rest.len() as f64;
    for value in &mut rest {
        *value -= mean;
    }
    let square: f64 = rest.iter().map(|value| value * value).sum();
    let product: f64 = rest.windows(2).map(|pair| pair[0] * pair[1]).sum();
    order::corrected(product / square, rest.len())
}
