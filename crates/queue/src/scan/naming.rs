//! Ids of the group and the jobs of a fan-out. A repeated page enqueues no job twice and leaves no
//! row out.

use tidegate_queue_broker::{EnqueueError, GroupId, IdError, JobId, LeasedJob};

/// Bytes of the scan job's id that are part of the group's id.
const SHOWN: usize = 40;

/// Ids that one scan creates.
#[derive(Clone, Debug)]
pub(super) struct Names {
    shown: String,
    /// Distinguishes this scan from every other one, also from an earlier one with the same id.
    tag: String,
}

impl Names {
    pub(super) fn of(queue: &str, job: &LeasedJob) -> Self {
        Self::new(queue, job.token.id.as_str(), job.created_at.unix_ms())
    }

    fn new(queue: &str, id: &str, created_ms: i64) -> Self {
        let shown = id.chars().take(SHOWN).map(|c| if c == '~' { '_' } else { c }).collect();
        let tag = format!("{:016x}", fnv1a(&[queue, id, &created_ms.to_string()]));
        Self { shown, tag }
    }

    pub(super) fn group(&self) -> Result<GroupId, IdError> {
        GroupId::new(format!("scan:{}.{}", self.shown, self.tag))
    }

    /// The id of the `nth` job of a page.
    ///
    /// It contains a hash of the payload, not only the position. Rows may have been inserted or
    /// deleted when a page is read again after a crash. The job at this position is then another
    /// one, and must not be taken for the stored one.
    pub(super) fn job(&self, page: u64, nth: usize, payload: &str) -> Result<JobId, EnqueueError> {
        let content = fnv1a(&[payload]);
        JobId::new(format!("{}.{page}.{nth}.{content:016x}", self.tag)).map_err(EnqueueError::Id)
    }
}

/// FNV-1a hash of the parts. A byte that UTF-8 never contains separates them.
fn fnv1a(parts: &[&str]) -> u64 {
    let bytes = parts.iter().flat_map(|part| part.bytes().chain([0xff]));
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeSet, HashMap};

    use proptest::prelude::*;

    use super::*;

    /// Reads a page by key, as a scan does.
    fn page(table: &BTreeSet<u32>, after: Option<u32>, limit: usize) -> (Vec<u32>, Option<u32>) {
        let rows: Vec<u32> =
            table.iter().copied().filter(|row| after.is_none_or(|after| *row > after)).take(limit).collect();
        let next = rows.last().copied().filter(|_| rows.len() == limit);
        (rows, next)
    }

    proptest! {
        /// Each page may be enqueued, then the scan crashes before its checkpoint and the table
        /// changes. Every row that is in the table the whole time is in some job, and a page that
        /// did not change makes no job twice.
        #[test]
        fn a_repeated_page_leaves_no_row_out(
            rows in proptest::collection::btree_set(0u32..400, 0..120),
            limit in 1usize..20,
            chunk in 1usize..7,
            changes in proptest::collection::vec(proptest::option::of((0u32..400, any::<bool>())), 40),
        ) {
            let names = Names::new("scans", "rebuild", 1);
            let (mut table, mut stayed) = (rows.clone(), rows);
            let mut jobs: HashMap<JobId, Vec<u32>> = HashMap::new();
            let mut changes = changes.into_iter();
            let (mut after, mut ordinal, mut crashed) = (None, 0, false);
            loop {
                let (rows, next) = page(&table, after, limit);
                let before = jobs.len();
                let mut made = 0;
                for (nth, rows) in rows.chunks(chunk).enumerate() {
                    let id = names.job(ordinal, nth, &serde_json::to_string(rows).unwrap()).unwrap();
                    jobs.entry(id).or_insert_with(|| rows.to_vec());
                    made += 1;
                }
                prop_assert!(jobs.len() - before <= made);
                if !crashed {
                    let now = jobs.len();
                    for (nth, rows) in rows.chunks(chunk).enumerate() {
                        let id = names.job(ordinal, nth, &serde_json::to_string(rows).unwrap()).unwrap();
                        jobs.entry(id).or_insert_with(|| rows.to_vec());
                    }
                    prop_assert_eq!(jobs.len(), now, "an unchanged page makes nothing new");
                }
                if let Some((row, comes)) = changes.next().flatten() {
                    if comes { table.insert(row); } else { table.remove(&row); stayed.remove(&row); }
                    crashed = true;
                    continue;
                }
                crashed = false;
                ordinal += 1;
                match next { Some(next) => after = Some(next), None => break }
            }
            let covered: BTreeSet<u32> = jobs.values().flatten().copied().collect();
            prop_assert!(stayed.is_subset(&covered), "{:?}", stayed.difference(&covered));
        }

        #[test]
        fn any_job_id_makes_a_group_id(id in "[a-zA-Z0-9_.:~-]{1,128}", created in 0i64..i64::MAX) {
            let names = Names::new("q", &id, created);
            prop_assert!(names.group().is_ok());
            prop_assert!(names.job(u64::MAX, usize::MAX, &id).is_ok());
            prop_assert_ne!(names.group(), Names::new("r", &id, created).group());
        }
    }
}
