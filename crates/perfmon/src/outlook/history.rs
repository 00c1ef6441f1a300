//! One number a minute for a day, under names.

use std::collections::BTreeMap;

use serde::Serialize;

/// A day of minutes.
pub(super) const DAY: u64 = 1440;
/// How many names are kept.
pub(super) const NAMES: usize = 64;
/// Longer names are refused, so that memory is bounded.
const NAME_BYTES: usize = 128;

/// A figure of one minute.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Point {
    /// Which minute, counted from wherever the caller likes, without steps backwards.
    pub minute: u64,
    /// In whatever unit the figure has.
    pub value: f64,
}

/// Returns whether a value can be calculated with: it is not NaN, and a sum of squares would not
/// overflow.
pub(super) fn is_figure(value: f64) -> bool {
    value.abs() <= 1e100
}

/// Whether points are as [`History`] keeps them: figures, whose minutes rise.
pub(super) fn are_in_order(points: &[Point]) -> bool {
    points.iter().all(|point| is_figure(point.value)) && points.windows(2).all(|pair| pair[0].minute < pair[1].minute)
}

/// How many figures were not kept, by reason.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Refused {
    /// NaN, infinite, or absurd: beyond 10¹⁰⁰ either way.
    pub not_figures: u64,
    /// The minute is not after the last one of that name.
    pub out_of_order: u64,
    /// Under a 65th name, or one of more than 128 bytes.
    pub names: u64,
}

/// Figures of the last 1,440 minutes under 64 names at most: 1.5 MB when full.
///
/// Minutes without a figure are gaps, and are not filled in. A name without values for a day is
/// dropped.
#[derive(Debug, Default)]
pub struct History {
    series: BTreeMap<String, Vec<Point>>,
    refused: Refused,
}

impl History {
    /// Keeps a figure, or counts why not and returns false.
    pub fn push(&mut self, name: &str, minute: u64, value: f64) -> bool {
        if !is_figure(value) {
            self.refused.not_figures += 1;
            return false;
        }
        if !self.has_room_for(name, minute) {
            self.refused.names += 1;
            return false;
        }
        let points = self.series.entry(name.to_owned()).or_default();
        if points.last().is_some_and(|last| last.minute >= minute) {
            self.refused.out_of_order += 1;
            return false;
        }
        points.push(Point { minute, value });
        let outdated = points.partition_point(|point| minute - point.minute >= DAY);
        points.drain(..outdated);
        true
    }

    /// Oldest first; empty under a name that isn't kept.
    pub fn points(&self, name: &str) -> &[Point] {
        self.series.get(name).map_or(&[], Vec::as_slice)
    }

    /// Returns the names, in alphabetical order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.series.keys().map(String::as_str)
    }

    /// Returns how many values were not kept since the start.
    pub fn refused(&self) -> Refused {
        self.refused
    }

    fn has_room_for(&mut self, name: &str, minute: u64) -> bool {
        if self.series.contains_key(name) {
            return true;
        }
        if self.series.len() >= NAMES {
            self.series.retain(|_, points| points.last().is_some_and(|last| minute.saturating_sub(last.minute) < DAY));
        }
        name.len() <= NAME_BYTES && self.series.len() < NAMES
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_day_is_kept_and_gaps_are_gaps() {
        let mut history = History::default();
        for minute in (0..3 * DAY).filter(|minute| minute % 11 != 0) {
            assert!(history.push("p99", minute, 1.0));
        }
        let points = history.points("p99");
        assert_eq!((points[0].minute, points.last().unwrap().minute), (2 * DAY, 3 * DAY - 1));
        assert!(points.iter().all(|point| point.minute % 11 != 0));
        history.push("p99", 5 * DAY, 1.0);
        assert_eq!(history.points("p99").len(), 1);
    }

    #[test]
    fn invalid_values_are_counted() {
        let mut history = History::default();
        assert!(history.push("hits", 5, 1.0));
        assert!(!history.push("hits", 6, f64::NAN));
        assert!(!history.push("hits", 6, f64::MAX));
        assert!(!history.push("hits", 5, 2.0));
        assert!(!history.push("hits", 4, 2.0));
        assert!(!history.push(&"n".repeat(NAME_BYTES + 1), 5, 1.0));
        assert_eq!(history.refused(), Refused { not_figures: 2, out_of_order: 2, names: 1 });
        assert_eq!(history.points("hits"), [Point { minute: 5, value: 1.0 }]);
        assert!(history.points("misses").is_empty());
    }

    #[test]
    fn a_name_that_is_silent_for_a_day_makes_room() {
        let mut history = History::default();
        for name in 0..NAMES {
            assert!(history.push(&name.to_string(), u64::from(name > 0), 1.0));
        }
        assert!(!history.push("one more", DAY - 1, 1.0));
        assert!(history.push("one more", DAY, 1.0));
        assert!(history.points("0").is_empty());
        assert_eq!(history.names().count(), NAMES);
    }

    proptest! {
        #[test]
        fn minutes_rise_and_memory_is_bounded(pushes in prop::collection::vec((0..80_u8, any::<u64>(), any::<f64>()), 0..300)) {
            let mut history = History::default();
            for (name, minute, value) in pushes {
                history.push(&name.to_string(), minute, value);
            }
            prop_assert!(history.names().count() <= NAMES);
            for name in history.names() {
                let points = history.points(name);
                prop_assert!(are_in_order(points));
            }
        }
    }
}
