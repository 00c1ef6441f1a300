//! Evaluates the records: which jobs ran, how often, and why.

use std::collections::BTreeMap;
#[cfg(feature = "redis")]
use std::ops::RangeInclusive;
use std::path::Path;

use tidegate_queue::{Broker, Cursor, JobState, QueueCounts};
use tidegate_testkit::poll_until;

use crate::child::{ACKNOWLEDGED, QUEUE, RUNS};
use crate::location::LONG;
use crate::log_file::{self, LogEntry};

/// Evaluation of the records.
#[derive(Debug, Default)]
pub struct Verdict {
    pub acknowledged: usize,
    /// Jobs that ran to their end.
    pub ran: usize,
    /// Acknowledged jobs that never ran to their end.
    pub missing: Vec<LogEntry>,
    /// Repeated runs, each under a later lease than the run before.
    pub again_by_lease: Vec<LogEntry>,
    /// Runs under a lease under which the job had already run to its end: the earlier ones.
    pub again_without_lease: Vec<LogEntry>,
}

impl Verdict {
    pub fn of(directory: &Path) -> Self {
        let acknowledged: BTreeMap<u32, LogEntry> =
            log_file::read(directory, ACKNOWLEDGED).into_iter().map(|entry| (entry.job, entry)).collect();
        let mut runs = log_file::read(directory, RUNS);
        runs.sort_unstable();
        let mut verdict = Self { acknowledged: acknowledged.len(), ..Self::default() };
        for of_one in runs.chunk_by(|one, next| one.job == next.job) {
            verdict.ran += 1;
            for pair in of_one.windows(2) {
                if pair[0].delivery == pair[1].delivery {
                    verdict.again_without_lease.push(pair[0]);
                } else {
                    verdict.again_by_lease.push(pair[1]);
                }
            }
        }
        let has_run = |job: &u32| runs.binary_search_by_key(job, |entry| entry.job).is_ok();
        verdict.missing = acknowledged.into_iter().filter(|(job, _)| !has_run(job)).map(|(_, entry)| entry).collect();
        verdict
    }

    /// Asserts that nothing was lost, and that each extra run had its own lease, after a lease that
    /// was reclaimed and counted.
    pub fn assert_nothing_lost(&self, jobs: u32, counts: &QueueCounts) {
        assert_eq!((self.acknowledged, self.ran), (jobs as usize, jobs as usize));
        assert!(self.missing.is_empty() && self.again_without_lease.is_empty(), "{self:?}");
        assert_eq!(counts.completed_total, u64::from(jobs));
        let taken_back = counts.reclaimed_total + counts.recovered_total;
        assert!(self.again_by_lease.len() as u64 <= taken_back, "{self:?} {counts:?}");
    }

    /// Asserts that the killed servers only lost data of those `moments`: enqueued jobs, ended
    /// runs, and reclaimed leases.
    #[cfg(feature = "redis")]
    pub fn assert_lost_only_of(&self, moments: &[RangeInclusive<i64>], counts: &QueueCounts) {
        let is_recent = |entry: &LogEntry| moments.iter().any(|moment| moment.contains(&entry.at));
        for lost in self.missing.iter().chain(&self.again_without_lease) {
            assert!(is_recent(lost), "{lost:?} was forgotten, not of {moments:?}");
        }
        let explained = self.again_by_lease.iter().filter(|run| !is_recent(run)).count() as u64;
        assert!(explained <= counts.reclaimed_total, "{explained} runs under a later lease: {counts:?}");
    }

    /// Formats the result in one line.
    pub fn figures(&self, counts: &QueueCounts) -> String {
        let Self { acknowledged, ran, missing, again_by_lease, again_without_lease } = self;
        format!(
            "{acknowledged} acknowledged, {ran} ran, {} lost, {} more forgotten after their run; {} ran again after {} reclaimed \
             leases and {} recoveries, {} since their end was forgotten; {} acknowledgements came too late",
            missing.len(),
            (*ran as u64).saturating_sub(counts.completed_total),
            again_by_lease.len(),
            counts.reclaimed_total,
            counts.recovered_total,
            again_without_lease.len(),
            counts.stale_acks_total,
        )
    }
}

/// Asserts that no job is in progress or has failed.
pub fn assert_settled(counts: &QueueCounts) {
    let QueueCounts { ready, leased, delayed, waiting, dead, cancelled, failed_total, retried_total, .. } = counts;
    assert_eq!([ready, leased, delayed, waiting, dead, cancelled, failed_total, retried_total], [&0; 8], "{counts:?}");
}

/// Number of leases beyond the first of all done jobs: they were reclaimed or recovered. Repeats
/// reads that get no answer.
pub async fn leases_beyond_the_first(broker: &dyn Broker) -> u64 {
    let (mut beyond, mut cursor): (u64, Option<Cursor>) = (0, None);
    loop {
        // A busy machine may answer late.
        let page = async || broker.list(QUEUE, JobState::Done, cursor, 1_000).await.ok();
        let page = poll_until(LONG, page).await.unwrap();
        beyond += page.items.iter().map(|record| u64::from(record.deliveries) - 1).sum::<u64>();
        if page.next.is_none() {
            return beyond;
        }
        cursor = page.next;
    }
}
