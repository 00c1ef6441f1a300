//! Series as they are shown.

/// One series as it stands.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct BridgedSeries {
    /// Such that Prometheus takes it; of a counter without `_total`.
    pub name: String,
    /// The library's description, masked; empty if it has none.
    pub help: String,
    /// Names and masked values, in the order of names.
    pub labels: Vec<(String, String)>,
    /// The current value.
    pub figure: BridgedFigure,
}

/// The value of a series.
#[derive(Debug, Clone, PartialEq)]
pub enum BridgedFigure {
    /// It only grows.
    Counter(u64),
    /// Finite.
    Gauge(f64),
    /// In seconds, bytes or plain numbers.
    Histogram {
        /// `(upper bound, samples at or below it)`, ascending, without `+Inf`, which is `count`.
        buckets: Vec<(f64, u64)>,
        /// The number of samples.
        count: u64,
        /// The sum of all samples.
        sum: f64,
    },
}
