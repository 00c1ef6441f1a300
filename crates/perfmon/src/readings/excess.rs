//! Whether a share exceeds its limit, and which window shows it.

use std::time::Duration;

use crate::figure::latency::share;
use crate::health::reading::Evidence;
use crate::readings::chance::{is_above, is_no_chance, is_rare};
use crate::time::window::Window;

/// Largest probability, per evaluation, that random variation exceeds a limit twice as high as the
/// true share. It is used
/// for the long window, in which the evaluations of five minutes see much the same samples, and for
/// small samples that nearly all exceed the limit.
const RARE: f64 = 1e-4;

/// Minimum number of samples above a limit. One or two of a quiet service are no evidence.
const MIN_OVER: u64 = 3;
/// With this many samples above the limit the long window is exact.
const EXACT_FROM: u64 = 10;

/// Shortest window in which a small number of samples counts. Shorter ones have few samples at any
/// rate, and are evaluated too often.
const SHORTEST_FOR_FEW: Duration = Duration::from_secs(10);

/// A number of samples above a limit, and the share that is allowed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Share {
    pub(crate) over: u64,
    pub(crate) count: u64,
    pub(crate) limit: f64,
}

/// The result for a share in the long window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Excess {
    Within,
    /// The share is above the limit, by so few samples that it may be below in truth.
    Chance,
    /// It is above, and chance does not explain it.
    Real,
}

impl Share {
    pub(crate) fn value(self) -> f64 {
        share(self.over, self.count)
    }

    /// Judges the long window: exactly from ten samples above the limit. Fewer count only if a
    /// share of half the limit would rarely produce that number, and one or two never count.
    pub(crate) fn excess(self) -> Excess {
        if self.value() <= self.limit {
            Excess::Within
        } else if self.over >= EXACT_FROM || self.is_hardly_chance() {
            Excess::Real
        } else {
            Excess::Chance
        }
    }

    /// Returns whether a short window exceeds the limit by more than random variation.
    pub(crate) fn is_sudden(self, min_samples: u64) -> bool {
        self.over >= MIN_OVER && self.count >= min_samples && is_no_chance(self.over, self.count, self.limit)
    }

    /// Returns whether nearly all samples of a short window are above the limit, for windows with
    /// too few samples otherwise. The third failure in a row shows an outage even if there is no
    /// twentieth request.
    pub(crate) fn is_nearly_all(self, min_samples: u64) -> bool {
        self.count < min_samples && self.is_hardly_chance()
    }

    fn is_hardly_chance(self) -> bool {
        let Self { over, count, limit } = self;
        over >= MIN_OVER && is_above(over, count, limit) && is_rare(over, count, limit / 2.0, RARE)
    }
}

/// Whether a short window counts with too few samples if nearly all of them are above the limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FewSamples {
    Count,
    Ignore,
}

/// Returns which window counts, and its evidence. The candidates are the long window, which comes
/// first, and the short ones whose excess chance does not explain. The one with the worst value
/// wins. If chance may explain the long window, any short candidate replaces it.
pub(crate) fn worst_window(
    windows: impl Iterator<Item = (Share, f64, Window)>,
    min_samples: u64,
    few: FewSamples,
) -> (usize, Evidence) {
    let mut worst = (0, Evidence::Samples);
    let mut beaten_by = f64::NEG_INFINITY;
    for (place, (share, value, window)) in windows.enumerate() {
        let evidence = if place == 0 {
            worst.1 = if share.excess() == Excess::Chance { Evidence::Chance } else { Evidence::Samples };
            if share.count >= min_samples && share.excess() == Excess::Real { worst.1 } else { continue }
        } else if share.is_sudden(min_samples) {
            Evidence::Samples
        } else if few == FewSamples::Count && window.longest() >= SHORTEST_FOR_FEW && share.is_nearly_all(min_samples) {
            Evidence::Beyond
        } else {
            continue;
        };
        if value > beaten_by {
            beaten_by = value;
            worst = (place, evidence);
        }
    }
    worst
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Cases of a quiet service in five minutes, with the limits of `error_rate` and of `p99`.
    #[test]
    fn few_samples_count_only_if_nearly_all_exceed_the_limit() {
        use Excess::{Chance, Real, Within};
        for (over, count, limit, expected) in [
            (0, 0, 0.05, Within),
            (1, 20, 0.05, Within),
            (2, 20, 0.05, Chance),
            (5, 20, 0.05, Chance),
            (6, 20, 0.05, Real),
            (24, 24, 0.05, Real),
            (24, 400, 0.05, Real),
            (24, 480, 0.05, Within),
            (180, 3_000, 0.05, Real),
            (151, 3_000, 0.05, Real),
            (9, 179, 0.05, Chance),
            (10, 199, 0.05, Real),
            (1, 20, 0.01, Chance),
            (1, 26, 0.01, Chance),
            (2, 26, 0.01, Chance),
            (3, 26, 0.01, Chance),
            (4, 26, 0.01, Real),
            (1, 99, 0.01, Chance),
            (3, 99, 0.01, Chance),
            (6, 99, 0.01, Real),
            (1, 100, 0.01, Within),
            (9, 899, 0.01, Chance),
            (11, 1_000, 0.01, Real),
            (31, 3_000, 0.01, Real),
        ] {
            assert_eq!(Share { over, count, limit }.excess(), expected, "{over} of {count} against {limit}");
        }
        for (over, count, limit, expected) in [
            (1, 1, 0.05, false),
            (2, 2, 0.05, false),
            (3, 3, 0.05, true),
            (3, 4, 0.05, true),
            (3, 5, 0.05, false),
            (4, 5, 0.05, true),
            (5, 19, 0.05, true),
            (4, 19, 0.05, false),
            (2, 2, 0.01, false),
            (3, 3, 0.01, true),
            (3, 12, 0.01, true),
            (3, 19, 0.01, false),
            (20, 20, 0.05, false),
        ] {
            assert_eq!(Share { over, count, limit }.is_nearly_all(20), expected, "{over} of {count} against {limit}");
        }
        assert!(
            Share { over: 20, count: 20, limit: 0.05 }.is_sudden(20),
            "with enough samples the other windows report it"
        );
        assert!(!Share { over: 19, count: 19, limit: 0.05 }.is_sudden(20));
    }
}
