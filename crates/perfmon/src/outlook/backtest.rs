//! What a forecast would have been worth in the past.

use super::history::Point;
use super::holt::{Pace, State};
use super::{order, theil_sen};

/// Minutes from which a first state is taken.
const START: usize = 20;

/// One value a minute, gaps as `None`, and what could be believed before the first of them.
pub(super) struct Minutes {
    values: Vec<Option<f64>>,
    start: State,
}

impl Minutes {
    /// Takes the last `most` minutes at most. Points are in order.
    pub(super) fn new(points: &[Point], most: usize) -> Self {
        let last = points.last().map_or(0, |point| point.minute);
        let points = &points[points.partition_point(|point| last - point.minute >= most as u64)..];
        let first = points.first().map_or(last, |point| point.minute);
        let mut values = Vec::new();
        for point in points {
            values.resize(usize::try_from(point.minute - first).unwrap_or(most), None);
            values.push(Some(point.value));
        }
        Self { values, start: start(points) }
    }

    pub(super) fn len(&self) -> usize {
        self.values.len()
    }

    /// How many of them have a value.
    pub(super) fn known(&self) -> usize {
        self.values.iter().flatten().count()
    }

    /// The states behind each minute.
    pub(super) fn states(&self, pace: Pace) -> Vec<State> {
        let mut state = self.start;
        self.values
            .iter()
            .map(|value| {
                state = pace.next(state, *value);
                state
            })
            .collect()
    }

    /// Returns how far values differed from the forecasts made `ahead` minutes before, oldest
    /// first. The start, in which the state is not settled, is left out.
    pub(super) fn errors(&self, states: &[State], ahead: usize, reach: f64) -> Vec<f64> {
        let later = self.values.iter().skip(START + ahead);
        states
            .iter()
            .skip(START)
            .zip(later)
            .filter_map(|(state, value)| Some((*value)? - state.level - reach * state.trend))
            .collect()
    }
}

/// The state for the minute before the first, by the robust line through the first points.
fn start(points: &[Point]) -> State {
    let head = &points[..points.len().min(START)];
    let trend = order::median_of_sorted(&theil_sen::slopes(head)).unwrap_or(0.0);
    let first = head.first().map_or(0, |point| point.minute);
    let mut levels: Vec<f64> = head.iter().map(|point| point.value - trend * (point.minute - first) as f64).collect();
    State { level: order::median(&mut levels).unwrap_or(0.0) - trend, trend }
}
