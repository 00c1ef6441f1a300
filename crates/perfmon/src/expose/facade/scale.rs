//! How a number becomes a duration, which is what a histogram counts, and back.

use std::time::Duration;

use metrics::Unit;

use crate::histogram::bounds::EXPOSITION_BOUNDS;

/// Bytes, each a nanosecond.
const DATA: [f64; 13] = [
    64.0,
    256.0,
    1_024.0,
    4_096.0,
    16_384.0,
    65_536.0,
    262_144.0,
    1_048_576.0,
    4_194_304.0,
    16_777_216.0,
    67_108_864.0,
    268_435_456.0,
    1_073_741_824.0,
];
/// Numbers, each a microsecond.
const NUMBERS: [f64; 13] =
    [1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1_000.0, 10_000.0, 100_000.0, 1_000_000.0];

/// The unit of a histogram's values.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Scale {
    /// The number of seconds in one of them.
    Time(f64),
    /// The number of bytes in one of them.
    Data(f64),
    Plain,
}

impl Scale {
    /// Returns the scale for a unit, or for the end of a name.
    pub(super) fn of(unit: Option<Unit>, name: &str) -> Self {
        const KIB: f64 = 1_024.0;
        match unit {
            Some(Unit::Seconds) => Self::Time(1.0),
            Some(Unit::Milliseconds) => Self::Time(1e-3),
            Some(Unit::Microseconds) => Self::Time(1e-6),
            Some(Unit::Nanoseconds) => Self::Time(1e-9),
            Some(Unit::Bytes) => Self::Data(1.0),
            Some(Unit::Kibibytes) => Self::Data(KIB),
            Some(Unit::Mebibytes) => Self::Data(KIB * KIB),
            Some(Unit::Gibibytes) => Self::Data(KIB * KIB * KIB),
            Some(Unit::Tebibytes) => Self::Data(KIB * KIB * KIB * KIB),
            Some(_) => Self::Plain,
            None => match name.rsplit('_').next().unwrap_or_default() {
                "seconds" | "secs" => Self::Time(1.0),
                "milliseconds" | "millis" | "ms" => Self::Time(1e-3),
                "microseconds" | "micros" | "us" => Self::Time(1e-6),
                "nanoseconds" | "nanos" | "ns" => Self::Time(1e-9),
                "bytes" => Self::Data(1.0),
                _ => Self::Plain,
            },
        }
    }

    /// The name with the unit in which it is shown.
    pub(super) fn named(self, name: &str) -> String {
        let unit = match self {
            Self::Time(_) => "_seconds",
            Self::Data(_) => "_bytes",
            Self::Plain => "",
        };
        if name.ends_with(unit) { name.to_owned() } else { format!("{name}{unit}") }
    }

    /// A value as the duration that stands for it; `None` where it is no sample.
    pub(super) fn duration(self, value: f64) -> Option<Duration> {
        if !value.is_finite() || value < 0.0 {
            return None;
        }
        let secs = match self {
            Self::Time(unit) => value * unit,
            Self::Data(unit) => value * unit * 1e-9,
            Self::Plain => value * 1e-6,
        };
        Some(Duration::try_from_secs_f64(secs).unwrap_or(Duration::MAX))
    }

    /// A duration as the value it stands for, in seconds, bytes or as it is.
    pub(super) fn value(self, duration: Duration) -> f64 {
        let secs = duration.as_secs_f64();
        match self {
            Self::Time(_) => secs,
            Self::Data(_) => secs * 1e9,
            Self::Plain => secs * 1e6,
        }
    }

    /// The bounds, as durations and as they are shown.
    pub(super) fn bounds(self) -> [(Duration, f64); 13] {
        let shown =
            |bounds: [f64; 13], a_second: f64| bounds.map(|bound| (Duration::from_secs_f64(bound / a_second), bound));
        match self {
            Self::Time(_) => EXPOSITION_BOUNDS.map(|bound| (bound, bound.as_secs_f64())),
            Self::Data(_) => shown(DATA, 1e9),
            Self::Plain => shown(NUMBERS, 1e6),
        }
    }
}
