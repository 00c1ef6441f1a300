//! Values of a reading in words, with units.

use std::time::Duration;

/// How value and threshold are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wording {
    /// As numbers, with the unit of the reading.
    Number,
    /// In percent.
    Percent,
    /// Not at all: the subject is a sentence that is true while the reading exceeds its threshold.
    Condition,
}

impl Wording {
    /// Returns for example `640 ms`, `5 %` or `12 connections`.
    pub(crate) fn figure(self, value: f64, unit: Option<&str>) -> String {
        match (self, unit) {
            (Self::Percent, _) => format!("{} %", rounded(value * 100.0, 2)),
            (_, Some("s")) if value < 1.0 => format!("{} ms", rounded(value * 1_000.0, 2)),
            (_, Some(unit)) => format!("{} {unit}", rounded(value, 4)),
            (_, None) => rounded(value, 4).to_string(),
        }
    }
}

/// Returns for example `250 ms`, `11 s` or `5 min`.
pub(crate) fn duration(duration: Duration) -> String {
    match duration.as_secs() {
        seconds if seconds >= 120 && seconds.is_multiple_of(60) => format!("{} min", seconds / 60),
        _ => Wording::Number.figure(duration.as_secs_f64(), Some("s")),
    }
}

fn rounded(value: f64, digits: i32) -> f64 {
    let scale = 10_f64.powi(digits);
    let rounded = (value * scale).round() / scale;
    if rounded.is_finite() { rounded } else { value }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_have_units() {
        for (wording, value, unit, text) in [
            (Wording::Percent, 0.123_456, None, "12.35 %"),
            (Wording::Number, 0.64, Some("s"), "640 ms"),
            (Wording::Number, 5.000_000_001, Some("s"), "5 s"),
            (Wording::Number, 96.0, Some("connections"), "96 connections"),
            (Wording::Number, 1.5, None, "1.5"),
        ] {
            assert_eq!(wording.figure(value, unit), text);
        }
        for (seconds, text) in [(0.5, "500 ms"), (61.0, "61 s"), (300.0, "5 min")] {
            assert_eq!(duration(Duration::from_secs_f64(seconds)), text);
        }
    }
}
