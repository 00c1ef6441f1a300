//! The median of the slopes of all pairs (Theil 1950, Sen 1968): up to 29 % of the points may be
//! outliers.

use super::history::Point;

/// The slopes of all pairs, ascending. Minutes must rise.
pub(super) fn slopes(points: &[Point]) -> Vec<f64> {
    let mut slopes = Vec::with_capacity(points.len() * points.len().saturating_sub(1) / 2);
    for (index, earlier) in points.iter().enumerate() {
        slopes.extend(points[index + 1..].iter().map(|later| {
            let minutes = (later.minute - earlier.minute) as f64;
            (later.value - earlier.value) / minutes
        }));
    }
    slopes.sort_unstable_by(f64::total_cmp);
    slopes
}
