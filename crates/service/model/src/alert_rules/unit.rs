//! Units of thresholds: as they are written in settings and in the text of an alert.

use std::time::Duration;

use bytesize::ByteSize;

/// The unit of a figure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// A number of things.
    Count,
    /// A part of a whole, from 0 to 1; written in percent.
    Share,
    /// A time.
    Seconds,
    /// A size.
    Bytes,
}

impl Unit {
    /// The unit that the end of a metric's name states.
    pub(crate) fn of_metric(name: &str) -> Self {
        let base = name.strip_suffix("_total").or_else(|| name.strip_suffix("_sum")).unwrap_or(name);
        match base {
            base if base.ends_with("_seconds") => Self::Seconds,
            base if base.ends_with("_bytes") => Self::Bytes,
            base if base.ends_with("_ratio") => Self::Share,
            _ => Self::Count,
        }
    }

    /// An example of a threshold of this unit, for error texts.
    pub(crate) const fn wanted(self) -> &'static str {
        match self {
            Self::Count => "a number such as 500",
            Self::Share => "a share such as 90% or 0.9",
            Self::Seconds => "a time such as 10m or 90s",
            Self::Bytes => "a size such as 64MiB",
        }
    }

    /// Reads a threshold. A bare number counts in the base unit.
    pub(crate) fn read(self, text: &str) -> Option<f64> {
        let bare = || text.parse().ok();
        let value: Option<f64> = match self {
            Self::Count => bare(),
            Self::Share => match text.strip_suffix('%') {
                Some(percent) => percent.parse::<f64>().ok().map(|percent| percent / 100.0),
                None => bare(),
            },
            Self::Seconds => bare().or_else(|| humantime::parse_duration(text).ok().map(|time| time.as_secs_f64())),
            #[expect(clippy::cast_precision_loss, reason = "a threshold")]
            Self::Bytes => bare().or_else(|| text.parse::<ByteSize>().ok().map(|size| size.as_u64() as f64)),
        };
        value.filter(|value| value.is_finite())
    }

    /// Returns a value with its unit, for display.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "bytes, which are not negative")]
    pub(crate) fn show(self, value: f64) -> String {
        match self {
            Self::Share => format!("{} %", rounded(100.0 * value, 1)),
            Self::Seconds if value >= 1.0 => match Duration::try_from_secs_f64(value.round()) {
                Ok(time) => in_words(time),
                Err(_) => format!("{value} seconds"),
            },
            Self::Seconds => format!("{} seconds", rounded(value, 3)),
            Self::Bytes if value >= 0.0 => ByteSize(value as u64).to_string(),
            Self::Count | Self::Bytes => rounded(value, 2),
        }
    }
}

/// Formats a value without trailing zeros.
fn rounded(value: f64, decimals: usize) -> String {
    let text = format!("{value:.decimals$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

/// A time in whole seconds, such as `1 hour 30 minutes`.
pub fn in_words(time: Duration) -> String {
    let seconds = time.as_secs();
    let parts = [
        (seconds / 86_400, "day"),
        (seconds % 86_400 / 3_600, "hour"),
        (seconds % 3_600 / 60, "minute"),
        (seconds % 60, "second"),
    ];
    let shown = parts.into_iter().filter(|(count, _)| *count > 0);
    let words: Vec<_> =
        shown.map(|(count, unit)| format!("{count} {unit}{}", if count == 1 { "" } else { "s" })).collect();
    if words.is_empty() { "0 seconds".to_owned() } else { words.join(" ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_threshold_is_read_and_shown_in_its_unit() {
        for (unit, text, value, shown) in [
            (Unit::Count, "500", 500.0, "500"),
            (Unit::Count, "0.25", 0.25, "0.25"),
            (Unit::Share, "90%", 0.9, "90 %"),
            (Unit::Share, "0.125", 0.125, "12.5 %"),
            (Unit::Seconds, "10m", 600.0, "10 minutes"),
            (Unit::Seconds, "90", 90.0, "1 minute 30 seconds"),
            (Unit::Seconds, "250ms", 0.25, "0.25 seconds"),
            (Unit::Bytes, "64MiB", 67_108_864.0, "64.0 MiB"),
        ] {
            assert_eq!(unit.read(text), Some(value), "{text}");
            assert_eq!(unit.show(value), shown, "{text}");
        }
    }

    #[test]
    fn a_text_of_another_unit_is_refused() {
        for (unit, text) in [
            (Unit::Count, "10m"),
            (Unit::Count, "90%"),
            (Unit::Count, "inf"),
            (Unit::Share, "10m"),
            (Unit::Seconds, "90%"),
            (Unit::Bytes, "10m10s"),
            (Unit::Count, "NaN"),
        ] {
            assert_eq!(unit.read(text), None, "{text}");
        }
    }

    #[test]
    fn the_name_of_a_metric_states_its_unit() {
        for (name, unit) in [
            ("tidegate_queue_length", Unit::Count),
            ("tidegate_queue_oldest_job_seconds", Unit::Seconds),
            ("process_cpu_seconds_total", Unit::Seconds),
            ("tidegate_redis_used_memory_bytes", Unit::Bytes),
            ("tidegate_redis_hit_ratio", Unit::Share),
        ] {
            assert_eq!(Unit::of_metric(name), unit, "{name}");
        }
    }
}
