//! Medians of numbers, none of them NaN, and how much a number resembles the one before.

/// The mean of the middle two where their number is even; `None` of nothing. Reorders `values`.
pub(super) fn median(values: &mut [f64]) -> Option<f64> {
    if values.is_empty() {
        return None;
    }
    let count = values.len();
    let (below, &mut upper, _) = values.select_nth_unstable_by(count / 2, f64::total_cmp);
    if count % 2 == 1 {
        return Some(upper);
    }
    let lower = below.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    Some((lower + upper) / 2.0)
}

/// The same of what is sorted already.
pub(super) fn median_of_sorted(sorted: &[f64]) -> Option<f64> {
    let upper = *sorted.get(sorted.len() / 2)?;
    Some(if sorted.len() % 2 == 1 { upper } else { (sorted[sorted.len() / 2 - 1] + upper) / 2.0 })
}

/// Returns a first autocorrelation, corrected for its known bias in short series (Marriott and Pope
/// 1954). It is between 0 and 1; for NaN, if nothing varies, it is 0.
pub(super) fn corrected(likeness: f64, count: usize) -> f64 {
    let corrected = likeness + (1.0 + 3.0 * likeness) / count as f64;
    if corrected.is_nan() { 0.0 } else { corrected.clamp(0.0, 1.0) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn half_lie_on_either_side(mut values in prop::collection::vec(-1e9..1e9, 1..50)) {
            let middle = median(&mut values).unwrap();
            let count = |side: fn(&f64, f64) -> bool| values.iter().filter(|value| side(value, middle)).count();
            prop_assert!(count(|value, middle| *value < middle) * 2 <= values.len());
            prop_assert!(count(|value, middle| *value > middle) * 2 <= values.len());
            values.sort_by(f64::total_cmp);
            prop_assert_eq!(median_of_sorted(&values), Some(middle));
        }
    }

    #[test]
    fn nothing_has_no_median() {
        assert_eq!(median(&mut []), None);
        assert_eq!(median_of_sorted(&[]), None);
    }
}
