//! Whether chance explains a number of samples above a limit.

/// One in a million: how often chance may report a process that is exactly at a limit, per
/// evaluation. Well below the limit it is far less.
const CHANCE: f64 = 1e-6;

/// More samples than this are scaled down to it. It is more than enough, and logarithms stay exact.
const ENOUGH: f64 = 1e9;

/// Returns whether `over` out of `count` prove a share above `limit`. With exactly that share,
/// random variation would produce `over` at most once in a million evaluations. The probability is
/// the tail of the binomial distribution, bounded from above. The result is false for a share that
/// is not above the limit, without samples, and with a limit that is not between 0 and 1.
///
/// A window of seconds holds few samples; without this test every second error would count. Costs
/// some logarithms.
pub(crate) fn is_no_chance(over: u64, count: u64, limit: f64) -> bool {
    is_above(over, count, limit) && is_rare(over, count, limit, CHANCE)
}

pub(crate) fn is_above(over: u64, count: u64, limit: f64) -> bool {
    over > 0 && over <= count && limit > 0.0 && limit < 1.0 && as_f64(over) / as_f64(count) > limit
}

/// Returns whether a share of `limit`, which is lower than `over` of `count`, produces `over` with
/// at most the probability `chance`.
pub(crate) fn is_rare(over: u64, count: u64, limit: f64, chance: f64) -> bool {
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
    fn probabilities_agree_with_values_calculated_by_hand() {
        // 0.05⁵ is 3 in ten million, 0.05⁴ is 6 in a million.
        assert!(is_no_chance(5, 5, 0.05));
        assert!(!is_no_chance(4, 4, 0.05));
        assert!(is_no_chance(4, 4, 0.01));
        assert!(!is_no_chance(1, 20, 0.01), "one outlier is no incident");
        assert!(!is_no_chance(2, 20, 0.01), "nor are two");
    }

    #[test]
    fn no_samples_are_no_excess() {
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
        fn more_samples_over_the_limit_never_weaken_the_result(count in 1u64..5_000, over in 0u64..5_000, limit in 0.001f64..0.5) {
            let over = over.min(count);
            if is_no_chance(over, count, limit) {
                prop_assert!(is_no_chance((over + 1).min(count), count, limit));
            }
        }
    }
}
