//! How long and how often criterion measures.

use std::time::Duration;

use criterion::Criterion;

/// Criterion for operations that take nanoseconds: 20 samples within `measured` after a short
/// warm-up, no plots. The command line overrides it.
pub fn brief(measured: Duration) -> Criterion {
    Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(measured)
        .without_plots()
        .configure_from_args()
}
