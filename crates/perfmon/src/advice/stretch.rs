//! Minutes looked at together.

use std::collections::BTreeSet;

use super::signals::Signals;

/// Minutes that count as lately.
const LATELY: usize = 5;
/// Fewer that say something say nothing.
const FEWEST_LATELY: usize = 3;
/// Minutes before these to compare with.
const BEFORE: usize = 30;
const FEWEST_BEFORE: usize = 10;

/// The last minutes, and those before them.
#[derive(Clone, Copy)]
pub(super) struct Stretch<'a> {
    lately: &'a [Signals],
    before: &'a [Signals],
}

/// A figure lately and before.
#[derive(Debug, Clone, Copy)]
pub(super) struct Compared {
    pub(super) lately: f64,
    pub(super) before: f64,
    /// The highest tenth of the minutes before lies above this.
    high: f64,
}

impl<'a> Stretch<'a> {
    pub(super) fn new(minutes: &'a [Signals]) -> Self {
        let (before, lately) = minutes.split_at(minutes.len().saturating_sub(LATELY));
        Self { lately, before: &before[before.len().saturating_sub(BEFORE)..] }
    }

    /// The last minutes.
    pub(super) fn lately(self) -> &'a [Signals] {
        self.lately
    }

    /// Returns the names in the last minutes, each once.
    pub(super) fn names<T: 'a>(self, of: fn(&'a Signals) -> &'a [T], name: fn(&'a T) -> &'a str) -> BTreeSet<&'a str> {
        self.lately.iter().flat_map(of).map(name).collect()
    }

    /// The middle of what the last minutes say, if enough of them do.
    pub(super) fn middle(self, figure: impl Fn(&Signals) -> Option<f64>) -> Option<f64> {
        let mut values = said(self.lately, &figure);
        if values.len() < FEWEST_LATELY { None } else { quantile(&mut values, 2) }
    }

    /// The sum of what the last minutes say, if enough of them do.
    pub(super) fn sum(self, figure: impl Fn(&Signals) -> Option<u64>) -> Option<u64> {
        let values: Vec<u64> = self.lately.iter().filter_map(figure).collect();
        (values.len() >= FEWEST_LATELY).then(|| values.iter().fold(0, |sum: u64, value| sum.saturating_add(*value)))
    }

    /// A figure now and then, if enough minutes of both say something.
    pub(super) fn compare(self, figure: impl Fn(&Signals) -> Option<f64>) -> Option<Compared> {
        let lately = self.middle(&figure)?;
        let mut before = said(self.before, &figure);
        if before.len() < FEWEST_BEFORE {
            return None;
        }
        Some(Compared { lately, high: quantile(&mut before, 10)?, before: quantile(&mut before, 2)? })
    }
}

impl Compared {
    /// Half as high again as before, and higher than nine in ten minutes of it.
    pub(super) fn is_up(self) -> bool {
        self.lately > self.before * 1.5 && self.lately > self.high
    }

    /// Within a fifth of what it was.
    pub(super) fn is_flat(self) -> bool {
        (self.lately - self.before).abs() <= self.before * 0.2
    }

    /// How many times what it was; at most a thousand, also where it was nothing.
    pub(super) fn times(self) -> f64 {
        if self.lately <= 0.0 { 0.0 } else { (self.lately / self.before.max(f64::MIN_POSITIVE)).min(1000.0) }
    }
}

fn said(minutes: &[Signals], figure: impl Fn(&Signals) -> Option<f64>) -> Vec<f64> {
    minutes.iter().filter_map(figure).filter(|value| value.is_finite() && *value >= 0.0).collect()
}

/// One in `part` of the values lies above.
fn quantile(values: &mut [f64], part: usize) -> Option<f64> {
    if values.is_empty() {
        return None;
    }
    let at = values.len() - values.len().div_ceil(part);
    Some(*values.select_nth_unstable_by(at, f64::total_cmp).1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn minutes(values: impl IntoIterator<Item = u64>) -> Vec<Signals> {
        values.into_iter().map(Signals::new).collect()
    }

    fn figure(signals: &Signals) -> Option<f64> {
        u32::try_from(signals.minute).ok().map(f64::from)
    }

    #[test]
    fn lately_is_five_minutes_and_before_are_thirty() {
        let minutes = minutes(0..100);
        let compared = Stretch::new(&minutes).compare(figure).unwrap();
        assert_eq!((compared.lately, compared.before, compared.high), (97.0, 80.0, 92.0));
    }

    #[test]
    fn too_few_minutes_are_unknown() {
        let few = minutes([1, 2]);
        assert_eq!(Stretch::new(&few).middle(figure), None);
        assert_eq!(Stretch::new(&few).sum(|signals| Some(signals.minute)), None);
        let some = minutes(0..14);
        assert!(Stretch::new(&some).compare(figure).is_none());
        assert!(Stretch::new(&minutes(0..15)).compare(figure).is_some());
        assert_eq!(Stretch::new(&some).middle(|_| Some(f64::NAN)), None);
    }

    #[test]
    fn up_is_above_nearly_all_that_was() {
        let mut swinging: Vec<u64> = [10, 40].into_iter().cycle().take(30).collect();
        swinging.extend([39; 5]);
        assert!(!Stretch::new(&minutes(swinging.clone())).compare(figure).unwrap().is_up());
        swinging.extend([61; 5]);
        assert!(Stretch::new(&minutes(swinging)).compare(figure).unwrap().is_up());
    }
}
