//! Where figures will be, and how sure that is.

use serde::Serialize;

use super::backtest::Minutes;
use super::history::{Point, are_in_order};
use super::holt::Pace;
use super::trend::Trend;

/// Fewer say nothing.
const FEWEST: usize = 60;
/// Older minutes are not looked at.
const MOST: usize = 480;
/// A forecast reaches a quarter as far ahead as its data reaches back.
const BEHIND: usize = 4;
/// The share of values outside the intervals, on either side.
const TAIL: f64 = 0.02;
/// A forecast whose intervals would have held less often than this was wrong too often to be
/// returned.
const LEAST_COVER: f64 = 0.8;

/// One minute that is to come.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Step {
    /// How many minutes from now.
    pub ahead: usize,
    /// The forecast.
    pub mean: f64,
    /// At least nine in ten values lie between this and `high`, if the figure behaves as before.
    pub low: f64,
    /// See `low`.
    pub high: f64,
}

/// The forecast, minute by minute.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Forecast {
    /// The next minute first.
    pub steps: Vec<Step>,
    /// The share of later values that lay within intervals made from earlier values only, over all
    /// steps.
    pub cover: f64,
    /// The figures it rests on.
    pub points: usize,
}

/// When a figure reaches a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Reach {
    /// In how many minutes the forecast is there.
    pub expected: usize,
    /// In how many minutes the interval touches it.
    pub earliest: usize,
    /// In how many minutes all of the interval is beyond it, if the forecast looks as far.
    pub latest: Option<usize>,
}

/// Forecasts `horizon` minutes, or a quarter as many as are known if that is less.
///
/// Returns `None` with fewer than 60 points in the last 480 minutes, if these are out of order, or
/// if the back-test shows that the intervals would have held less than 80 % of the later values.
/// Costs a few milliseconds.
pub fn forecast(points: &[Point], horizon: usize) -> Option<Forecast> {
    if !are_in_order(points) {
        return None;
    }
    let minutes = Minutes::new(points, MOST);
    let horizon = horizon.min(minutes.len() / BEHIND);
    if minutes.known() < FEWEST || horizon == 0 {
        return None;
    }
    let pace = best(&minutes, horizon)?;
    let states = minutes.states(pace);
    let now = *states.last()?;
    let (mut below, mut above) = (0.0_f64, 0.0_f64);
    let (mut held, mut tried) = (0, 0);
    let mut steps = Vec::with_capacity(horizon);
    for (ahead, reach) in (1..).zip(pace.reach(horizon)) {
        let errors = minutes.errors(&states, ahead, reach);
        let (earlier, later) = errors.split_at(errors.len() / 2);
        if let Some((low, high)) = interval(earlier.to_vec(), ahead) {
            tried += later.len();
            held += later.iter().filter(|error| (low..=high).contains(*error)).count();
        }
        let (low, high) = interval(errors, ahead)?;
        // Nothing is surer from further away.
        (below, above) = (below.max(-low), above.max(high));
        let mean = now.level + reach * now.trend;
        steps.push(Step { ahead, mean, low: mean - below, high: mean + above });
    }
    let cover = held as f64 / tried as f64;
    (cover >= LEAST_COVER).then_some(Forecast { steps, cover, points: minutes.known() })
}

/// The pace whose forecasts were nearest, over a minute, half of the way and all of it.
fn best(minutes: &Minutes, horizon: usize) -> Option<Pace> {
    let error = |pace: Pace| {
        let states = minutes.states(pace);
        let reach = pace.reach(horizon);
        [1, horizon.div_ceil(2), horizon]
            .into_iter()
            .map(|ahead| mean_size(&minutes.errors(&states, ahead, reach[ahead - 1])))
            .sum()
    };
    Pace::all()
        .map(|pace| (error(pace), pace))
        .min_by(|(one, _), (other, _): &(f64, _)| one.total_cmp(other))
        .map(|(_, pace)| pace)
}

fn mean_size(errors: &[f64]) -> f64 {
    errors.iter().map(|error| error.abs()).sum::<f64>() / errors.len() as f64
}

/// Returns the interval of nearly all errors: quantiles of the past errors, widened by their
/// autocorrelation at this distance. Errors of two minutes in a row are from nearly the same
/// period.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "numbers of points are small")]
fn interval(mut errors: Vec<f64>, ahead: usize) -> Option<(f64, f64)> {
    errors.sort_unstable_by(f64::total_cmp);
    let outside = ((errors.len() + 1) as f64 * TAIL) as usize;
    let outside = outside.saturating_sub(1);
    let (low, high) = (*errors.get(outside)?, *errors.get(errors.len().checked_sub(outside + 1)?)?);
    let middle = super::order::median_of_sorted(&errors)?;
    let spread = 1.0 + 2.0 * ahead as f64 / errors.len() as f64;
    Some((middle + (low - middle) * spread, middle + (high - middle) * spread))
}

impl Forecast {
    /// Returns when the figure, which is `now`, reaches `limit`. `None` if that is not foreseen, or
    /// if the trend is not significant: then the figure only wanders.
    pub fn reach(&self, trend: &Trend, now: f64, limit: f64) -> Option<Reach> {
        if !trend.is_significant() || now == limit {
            return None;
        }
        let is_rising = now < limit;
        if is_rising != (trend.slope > 0.0) {
            return None;
        }
        let first = |value: fn(&Step) -> f64| {
            let is_there = |step: &&Step| if is_rising { value(step) >= limit } else { value(step) <= limit };
            self.steps.iter().find(is_there).map(|step| step.ahead)
        };
        let (near, far) = (first(|step| step.high), first(|step| step.low));
        let (earliest, latest) = if is_rising { (near, far) } else { (far, near) };
        let expected = first(|step| step.mean)?;
        Some(Reach { expected, earliest: earliest.unwrap_or(expected), latest })
    }
}
