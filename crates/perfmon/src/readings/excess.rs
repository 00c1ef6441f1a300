//! Whether so many out of so few can be chance.

use std::time::Duration;

use crate::figure::latency::share;
use crate::health::reading::Evidence;
use crate::time::window::Window;

/// One in a million: how often chance may report a process that is exactly at a limit, per
/// evaluation. Well below the limit it is far less.
const CHANCE: f64 = 1e-6;

/// More samples than this are scaled down to it. It is more than enough, and logarithms stay exact.
const ENOUGH: f64 = 1e9;

/// How often chance may exceed a limit twice as high as the true share, per evaluation. It is used
/// for the long window, in which the evaluations of five minutes see much the same samples, and for
/// small samples that nearly all exceed the limit.
const LITTLE_CHANCE: f64 = 1e-4;

/// One or two of a quiet service's samples say nothing, however few there are beside them.
const FEWEST: u64 = 3;
/// So many are taken at their word in the long window: it is exact from here on.
const TELLING: u64 = 10;

/// A shorter window has few samples at any rate, and is evaluated too often for them.
const PATIENCE: Duration = Duration::from_secs(10);

/// So many of so many, against the share that may be.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Share {
    pub(crate) over: u64,
    pub(crate) count: u64,
    pub(crate) limit: f64,
}

/// What a share in the long window says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Excess {
    Within,
    /// The share is above the limit, by so few samples that it may be below in truth.
    Chance,
    /// It is above, and was not made by chance.
    Real,
}

impl Share {
    pub(crate) fn value(self) -> f64 {
        share(self.over, self.count)
    }

    /// Judges the long window: exactly from ten samples above the limit. Fewer count only if a
    /// share of half the limit would rarely produce so many, and one or two never count.
    pub(crate) fn excess(self) -> Excess {
        if self.value() <= self.limit {
            Excess::Within
        } else if self.over >= TELLING || self.is_hardly_chance() {
            Excess::Real
        } else {
            Excess::Chance
        }
    }

    /// In a short window: above the limit, by no chance.
    pub(crate) fn is_sudden(self, min_samples: u64) -> bool {
        self.over >= FEWEST && self.count >= min_samples && is_no_chance(self.over, self.count, self.limit)
    }

    /// Returns whether nearly all samples of a short window are above the limit, for windows with
    /// too few samples otherwise. The third failure in a row shows an outage even if there is no
    /// twentieth request.
    pub(crate) fn is_nearly_all(self, min_samples: u64) -> bool {
        self.count < min_samples && self.is_hardly_chance()
    }

    fn is_hardly_chance(self) -> bool {
        let Self { over, count, limit } = self;
        over >= FEWEST && is_above(over, count, limit) && is_rare(over, count, limit / 2.0, LITTLE_CHANCE)
    }
}

/// Whether a short window counts with too few samples if nearly all of them are above the limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Few {
    Speak,
    Wait,
}

/// Returns which window counts, and its evidence. The candidates are the long window, which comes
/// first, and the short ones whose excess chance does not explain. The one with the worst value
/// wins. If chance may explain the long window, any short candidate replaces it.
pub(crate) fn loudest(
    windows: impl Iterator<Item = (Share, f64, Window)>,
    min_samples: u64,
    few: Few,
) -> (usize, Evidence) {
    let mut loudest = (0, Evidence::Samples);
    let mut beaten_by = f64::NEG_INFINITY;
    for (place, (share, value, window)) in windows.enumerate() {
        let evidence = if place == 0 {
            loudest.1 = if share.excess() == Excess::Chance { Evidence::Chance } else { Evidence::Samples };
            if share.count >= min_samples && share.excess() == Excess::Real { loudest.1 } else { continue }
        } else if share.is_sudden(min_samples) {
            Evidence::Samples
        } else if few == Few::Speak && window.longest() >= PATIENCE && share.is_nearly_all(min_samples) {
            Evidence::Beyond
        } else {
            continue;
        };
        if value > beaten_by {
            beaten_by = value;
            loudest = (place, evidence);
        }
    }
    loudest
}

/// Returns whether `over` out of `count` prove a share above `limit`. With exactly that share,
/// chance would produce so many once in a million evaluations at most (the tail of the binomial
/// distribution, bounded from above). The result is false for a share that is not above the limit,
/// without samples, and with a limit that is not between 0 and 1.
///
/// A window of seconds holds few samples; without this test every second error would count. Costs
/// some logarithms.
pub(crate) fn is_no_chance(over: u64, count: u64, limit: f64) -> bool {
    is_above(over, count, limit) && is_rare(over, count, limit, CHANCE)
}

fn is_above(over: u64, count: u64, limit: f64) -> bool {
    over > 0 && over <= count && limit > 0.0 && limit < 1.0 && as_f64(over) / as_f64(count) > limit
}

/// Returns whether a share of `limit`, which is lower than `over` of `count`, produces so many at
/// most that often.
fn is_rare(over: u64, count: u64, limit: f64, chance: f64) -> bool {
    let (over, count) = (as_f64(over), as_f64(count));
    let scale = (ENOUGH / count).min(1.0);
    let (over, count) = (over * scale, count * scale);
    let ln_exactly = ln_choose(count, over) + over * limit.ln() + (count - over) * (-limit).ln_1p();
    // Each further term is smaller than the one before by at least this factor, so the tail is less
    // than the geometric sum.
    let shrinks_by = (count - over) / (over + 1.0) * (limit / (1.0 - limit));
    ln_exactly - (-shrinks_by).ln_1p() <= chance.ln()
}

fn ln_choose(n: f64, k: f64) -> f64 {
    ln_factorial(n) - ln_factorial(k) - ln_factorial(n - k)
}

/// Stirling's series; to ten digits and more from 10 on, below which the product is taken.
fn ln_factorial(n: f64) -> f64 {
    if n < 10.0 {
        let mut product = 1.0;
        let mut factor = 2.0;
        while factor <= n {
            product *= factor;
            factor += 1.0;
        }
        return product.ln();
    }
    let inverse = 1.0 / n;
    let square = inverse * inverse;
    n * n.ln() - n
        + 0.5 * (std::f64::consts::TAU * n).ln()
        + inverse * (1.0 / 12.0 - square * (1.0 / 360.0 - square * (1.0 / 1260.0 - square / 1680.0)))
}

#[expect(clippy::cast_precision_loss, reason = "a count past 2⁵³ is off by less than 1 in 10¹⁵")]
fn as_f64(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The tail by adding up every term below, each by products alone.
    fn tail(over: u64, count: u64, limit: f64) -> f64 {
        (over..=count)
            .map(|hits| {
                let ways: f64 = (0..hits).map(|i| as_f64(count - i) / as_f64(hits - i)).product();
                ways * limit.powf(as_f64(hits)) * (1.0 - limit).powf(as_f64(count - hits))
            })
            .sum()
    }

    #[test]
    fn figures_one_can_check_by_hand() {
        // 0.05⁵ is 3 in ten million, 0.05⁴ is 6 in a million.
        assert!(is_no_chance(5, 5, 0.05));
        assert!(!is_no_chance(4, 4, 0.05));
        assert!(is_no_chance(4, 4, 0.01));
        assert!(!is_no_chance(1, 20, 0.01), "one outlier is no incident");
        assert!(!is_no_chance(2, 20, 0.01), "nor are two");
    }

    /// The limits of `error_rate` and of `p99`, and what a quiet service shows in five minutes.
    #[test]
    fn few_samples_speak_only_where_they_nearly_all_agree() {
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
        assert!(Share { over: 20, count: 20, limit: 0.05 }.is_sudden(20), "what is many is told by the others");
        assert!(!Share { over: 19, count: 19, limit: 0.05 }.is_sudden(20));
    }

    #[test]
    fn nobody_is_accused_of_nothing() {
        for (over, count, limit) in [
            (0, 0, 0.05),
            (0, 100, 0.05),
            (5, 100, 0.05),
            (9, 3, 0.05),
            (3, 3, 0.0),
            (3, 3, 1.0),
            (3, 3, f64::NAN),
            (u64::MAX, u64::MAX, -1.0),
        ] {
            assert!(!is_no_chance(over, count, limit), "{over} of {count} above {limit}");
        }
        assert!(is_no_chance(u64::MAX, u64::MAX, 0.05));
        assert!(is_no_chance(u64::MAX / 2, u64::MAX, 0.05));
    }

    proptest! {
        #[test]
        fn the_bound_agrees_with_adding_up_to_a_tenth(count in 1u64..400, part in 0.0f64..1.0, limit in 0.001f64..0.5) {
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a part of a small count")]
            let over = (as_f64(count) * part) as u64;
            let tail = tail(over, count, limit);
            if is_no_chance(over, count, limit) {
                prop_assert!(tail <= CHANCE * (1.0 + 1e-6), "{} of {}: {}", over, count, tail);
            } else if over > 0 {
                prop_assert!(tail > CHANCE * 0.9, "{} of {}: {}", over, count, tail);
            }
        }

        #[test]
        fn more_is_never_less_telling(count in 1u64..5_000, over in 0u64..5_000, limit in 0.001f64..0.5) {
            let over = over.min(count);
            if is_no_chance(over, count, limit) {
                prop_assert!(is_no_chance((over + 1).min(count), count, limit));
            }
        }
    }
}
