//! Whether later values tend to be higher, or lower, than earlier ones (Mann 1945, Kendall).

use super::history::Point;

/// Later pairs that are higher less those that are lower.
pub(super) fn score(points: &[Point]) -> i64 {
    let mut score = 0;
    for (index, earlier) in points.iter().enumerate() {
        for later in &points[index + 1..] {
            score += i64::from(later.value > earlier.value) - i64::from(later.value < earlier.value);
        }
    }
    score
}

/// Returns the variance of that score without a trend: Kendall's, with his correction for equal
/// values.
pub(super) fn variance(points: &[Point]) -> f64 {
    let term = |count: usize| (count * count.saturating_sub(1) * (2 * count + 5)) as f64;
    let mut values: Vec<f64> = points.iter().map(|point| point.value + 0.0).collect();
    values.sort_unstable_by(f64::total_cmp);
    let tied: f64 = values.chunk_by(|one, other| one == other).map(|equal| term(equal.len())).sum();
    (term(values.len()) - tied) / 18.0
}

/// Returns the probability that a random series has a score at least as far from zero.
pub(super) fn p_value(score: i64, variance: f64) -> f64 {
    if score == 0 || variance <= 0.0 {
        return 1.0;
    }
    // A step towards zero: the score is whole and the normal distribution is not.
    let deviations = (score.unsigned_abs() - 1) as f64 / variance.sqrt();
    libm::erfc(deviations / std::f64::consts::SQRT_2)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn points(values: &[f64]) -> Vec<Point> {
        (0..).zip(values).map(|(minute, &value)| Point { minute, value }).collect()
    }

    #[test]
    fn agrees_with_a_case_by_hand() {
        // 9 of the 10 pairs rise, one falls.
        let points = points(&[1.0, 3.0, 2.0, 4.0, 5.0]);
        assert_eq!(score(&points), 8);
        assert!((variance(&points) - 5.0 * 4.0 * 15.0 / 18.0).abs() < 1e-9);
        // z = 7 / sqrt(16.67) = 1.7146
        assert!((p_value(8, variance(&points)) - 0.0864).abs() < 1e-3);
    }

    #[test]
    fn equal_values_vary_less() {
        // (6 · 5 · 17 − 2 · 1 · 9 − 3 · 2 · 11) / 18
        assert!((variance(&points(&[1.0, 2.0, 1.0, 3.0, 2.0, 2.0])) - 426.0 / 18.0).abs() < 1e-9);
    }

    #[test]
    fn equal_values_show_no_trend() {
        let points = points(&[2.0; 40]);
        assert_eq!((score(&points), variance(&points)), (0, 0.0));
        assert_eq!(p_value(0, 0.0), 1.0);
    }
}
