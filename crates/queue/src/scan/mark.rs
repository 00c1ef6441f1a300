//! The state of a scan, which is stored with the job after each page.

use std::fmt::Display;

use serde::{Deserialize, Serialize};

/// Bytes kept of a rejected row's name and of the reason.
const NAME_LIMIT: usize = 128;
const REASON_LIMIT: usize = 256;
/// Bytes of JSON and number of the rejected rows that are kept with the job.
const KEPT_BYTES: usize = 16 << 10;
const KEPT: usize = 100;

/// A row that could not be processed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RejectedRow {
    /// Its key, or another text that identifies it.
    pub row: String,
    /// Why it was rejected.
    pub reason: String,
}

impl RejectedRow {
    pub(super) fn new(row: String, reason: &dyn Display) -> Self {
        Self { row: cut(row, NAME_LIMIT), reason: cut(reason.to_string(), REASON_LIMIT) }
    }

    fn bytes(&self) -> usize {
        let json = |text: &str| text.chars().map(|c| if c.is_control() { 6 } else { c.len_utf8() + 1 }).sum::<usize>();
        json(&self.row) + json(&self.reason) + r#"{"row":"","reason":""},"#.len()
    }
}

fn cut(mut text: String, limit: usize) -> String {
    if text.len() > limit {
        text.truncate(text.floor_char_boundary(limit - '…'.len_utf8()));
        text.push('…');
    }
    text
}

/// Counts of the work done so far.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Tally {
    pub(super) pages: u64,
    pub(super) rows: u64,
    pub(super) rejected: u64,
    /// The first rejected rows, up to the limits.
    pub(super) rejects: Vec<RejectedRow>,
    /// Number of jobs made of rows.
    pub(super) jobs: u64,
}

impl Tally {
    pub(super) fn reject(&mut self, rows: Vec<RejectedRow>) {
        let mut bytes: usize = self.rejects.iter().map(RejectedRow::bytes).sum();
        for row in rows {
            bytes += row.bytes();
            let none_left_out = self.rejects.len() as u64 == self.rejected;
            self.rejected += 1;
            if none_left_out && self.rejects.len() < KEPT && bytes <= KEPT_BYTES {
                self.rejects.push(row);
            }
        }
    }
}

/// The checkpoint of a scan.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Mark<P> {
    /// Position of the next page.
    pub(super) position: Option<P>,
    /// Whether there is no next page. Needed, since the start and the end both have no position.
    pub(super) is_at_end: bool,
    pub(super) total: Option<u64>,
    pub(super) tally: Tally,
}

impl<P> Default for Mark<P> {
    fn default() -> Self {
        Self { position: None, is_at_end: false, total: None, tally: Tally::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        #[test]
        fn a_mark_stays_small_and_counts_all(pages in proptest::collection::vec(
            proptest::collection::vec(("[a-zä\\x00\"]{0,150}", "[a-z→\\x1f\\\\]{0,300}"), 0..60), 0..4,
        )) {
            let mut mark = Mark { position: Some(7u64), ..Mark::default() };
            let mut all = Vec::new();
            for page in pages {
                let rows: Vec<_> = page.into_iter().map(|(row, reason)| RejectedRow::new(row, &reason)).collect();
                all.extend(rows.clone());
                mark.tally.reject(rows);
                let text = serde_json::to_string(&mark).unwrap();
                prop_assert!(text.len() <= KEPT_BYTES + 512, "{}", text.len());
                mark = serde_json::from_str(&text).unwrap();
            }
            prop_assert_eq!(mark.tally.rejected, all.len() as u64);
            prop_assert!(all.starts_with(&mark.tally.rejects), "the first ones, in order");
            prop_assert!(mark.tally.rejects.len() >= all.len().min(6), "some are kept: {}", mark.tally.rejects.len());
        }
    }
}
