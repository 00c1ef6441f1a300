//! The names with the highest counts, out of any number of names.

use std::cmp::Reverse;
use std::collections::HashMap;

use tidegate_store::Sum;

/// Number of names that a report shows.
const TOLD: usize = 20;
/// Bytes of names that are kept in memory: enough for several hundred thousand addresses.
const MOST_BYTES: usize = 16 << 20;

/// Names and the sums of their schedules.
///
/// It keeps names up to a number of bytes. A name that first appears after that is not counted, and
/// the report says that names are missing.
#[derive(Debug, Default)]
pub(super) struct Tops {
    known: HashMap<String, (String, Sum)>,
    bytes: usize,
    has_left_out: bool,
}

impl Tops {
    /// Adds to the name `key`. It is displayed as in its first occurrence.
    pub(super) fn add(&mut self, key: String, shown: String, sum: Sum) {
        if let Some((_, known)) = self.known.get_mut(&key) {
            *known = known.and(sum);
            return;
        }
        let bytes = self.bytes.saturating_add(key.len() + shown.len());
        if bytes > MOST_BYTES {
            self.has_left_out = true;
            return;
        }
        self.bytes = bytes;
        self.known.insert(key, (shown, sum));
    }

    /// Whether a name was left out.
    pub(super) fn has_left_out(&self) -> bool {
        self.has_left_out
    }

    /// Returns the names with the most schedules. Ties are sorted by hours, then by name.
    pub(super) fn most(self) -> Vec<(String, Sum)> {
        let mut all: Vec<_> = self.known.into_values().collect();
        all.sort_unstable_by(|(one, a), (other, b)| {
            let rank = |sum: &Sum| Reverse((sum.schedules, sum.seconds));
            rank(a).cmp(&rank(b)).then_with(|| one.cmp(other))
        });
        all.truncate(TOLD);
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sum(schedules: u64, seconds: u64) -> Sum {
        Sum { schedules, recurring: 0, seconds }
    }

    #[test]
    fn those_with_the_most_come_first_and_are_few() {
        let mut tops = Tops::default();
        for number in 0..50_u64 {
            let name = format!("name {number:02}");
            tops.add(name.clone(), name, sum(1, number));
        }
        tops.add("x".to_owned(), "X".to_owned(), sum(1, 0));
        tops.add("x".to_owned(), "x".to_owned(), sum(1, 0));
        let most = tops.most();
        assert_eq!(most.len(), TOLD);
        assert_eq!(most[..2], [("X".to_owned(), sum(2, 0)), ("name 49".to_owned(), sum(1, 49))]);
    }

    #[test]
    fn names_without_end_are_not_remembered_without_end() {
        let mut tops = Tops::default();
        for number in 0..20 {
            tops.add(number.to_string(), "x".repeat(1 << 20), sum(1, 1));
        }
        tops.add("0".to_owned(), String::new(), sum(1, 1));
        assert!(tops.has_left_out() && tops.known.len() < 17);
        assert_eq!(tops.most()[0].1, sum(2, 2), "a known name is still counted");
    }
}
