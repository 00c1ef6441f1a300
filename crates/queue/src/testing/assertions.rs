//! Assertions about jobs, with messages that explain the failure.
#![expect(clippy::panic, reason = "an assertion reports a failure to the reader of a test")]

use std::fmt::Write as _;

use futures_util::FutureExt;

use super::{PERFORMED, TestQueue};
use crate::decode::decode;
use tidegate_queue_broker::{Broker, BrokerError, Job, JobId, JobRecord, JobState};

const WAITING: [JobState; 3] = [JobState::Ready, JobState::Delayed, JobState::Waiting];
/// Bytes of a payload that a message shows.
const SHOWN: usize = 200;

impl TestQueue {
    /// Returns the jobs of one kind that are to run or to run again, decoded. Ready jobs are first,
    /// then delayed ones, then those that wait for another job.
    ///
    /// # Panics
    /// If a payload is not of this type.
    #[track_caller]
    pub fn enqueued<J: Job>(&self) -> Vec<J> {
        self.waiting(Some(J::KIND)).iter().map(decoded).collect()
    }

    /// Asserts that a job of this kind for which `is_it` returns true is to run or to run again.
    /// Returns its record.
    ///
    /// # Panics
    /// If there is none. The message lists the jobs that are enqueued.
    #[track_caller]
    pub fn assert_enqueued<J: Job>(&self, is_it: impl Fn(&J) -> bool) -> JobRecord {
        let candidates = self.waiting(Some(J::KIND));
        match candidates.iter().find(|record| is_it(&decoded(record))) {
            Some(record) => record.clone(),
            None if candidates.is_empty() => {
                panic!("no job of kind {:?} is enqueued; {}", J::KIND, listed("enqueued are", &self.waiting(None)))
            }
            None => panic!("no job of kind {:?} is as expected; {}", J::KIND, listed("enqueued are", &candidates)),
        }
    }

    /// Asserts how many jobs of this kind are to run or to run again.
    ///
    /// # Panics
    /// If there are more or fewer. The message lists the jobs that are enqueued.
    #[track_caller]
    pub fn assert_enqueued_count<J: Job>(&self, count: usize) {
        let found = self.waiting(Some(J::KIND));
        if found.len() != count {
            let listed = listed("enqueued are", &found);
            panic!("expected {count} of kind {:?} to be enqueued, found {}; {listed}", J::KIND, found.len());
        }
    }

    /// Asserts that no job of any kind is to run or to run again.
    ///
    /// # Panics
    /// If there is one. The message lists the jobs that are enqueued.
    #[track_caller]
    pub fn assert_nothing_enqueued(&self) {
        let found = self.waiting(None);
        assert!(found.is_empty(), "expected nothing to be enqueued; {}", listed("enqueued are", &found));
    }

    /// Asserts that a job is done. Returns its record, with its result.
    ///
    /// # Panics
    /// If it isn't. The message shows the job's history.
    #[track_caller]
    pub fn assert_done(&self, id: &JobId) -> JobRecord {
        self.assert_state(id, JobState::Done)
    }

    /// Asserts that a job is dead and that its last error or its note contains `text`. Returns its
    /// record.
    ///
    /// # Panics
    /// If it isn't. The message shows the job's history.
    #[track_caller]
    pub fn assert_dead(&self, id: &JobId, text: &str) -> JobRecord {
        let record = self.assert_state(id, JobState::Dead);
        let last = record.attempts.last().and_then(|attempt| attempt.error.as_deref());
        if [last, record.note.as_deref()].into_iter().flatten().all(|found| !found.contains(text)) {
            panic!("job {id} is dead, but not of {text:?}\n{}", story(&record));
        }
        record
    }

    /// Asserts that a job is to run again after this many failed attempts. Returns its record.
    ///
    /// # Panics
    /// If it isn't. The message shows the job's history.
    #[track_caller]
    pub fn assert_retried(&self, id: &JobId, failures: u32) -> JobRecord {
        let record = self.job(id);
        let waits = WAITING.contains(&record.state);
        if !waits || record.failures != failures || failures == 0 {
            let (state, found) = (record.state.as_str(), record.failures);
            panic!(
                "job {id} should be about to run again after {failures} failures, but is {state} after {found}\n{}",
                story(&record)
            );
        }
        record
    }

    /// Asserts the state of a job. Returns its record.
    ///
    /// # Panics
    /// If it is in another state. The message shows the job's history.
    #[track_caller]
    pub fn assert_state(&self, id: &JobId, state: JobState) -> JobRecord {
        let record = self.job(id);
        if record.state != state {
            panic!("job {id} is {}, not {}\n{}", record.state.as_str(), state.as_str(), story(&record));
        }
        record
    }

    /// Reads a job from any queue.
    ///
    /// # Panics
    /// If there is none.
    #[track_caller]
    pub fn job(&self, id: &JobId) -> JobRecord {
        let found = self.queues().into_iter().find_map(|queue| at_once(self.broker.job(&queue, id)));
        found.unwrap_or_else(|| {
            let all: Vec<_> = JobState::ALL.into_iter().flat_map(|state| self.listed(state)).collect();
            panic!("there is no job {id}; {}", listed("there are", &all))
        })
    }

    fn waiting(&self, kind: Option<&str>) -> Vec<JobRecord> {
        let records = WAITING.into_iter().flat_map(|state| self.listed(state));
        records.filter(|record| kind.is_none_or(|kind| record.kind == kind)).collect()
    }

    fn listed(&self, state: JobState) -> Vec<JobRecord> {
        let queues = self.queues().into_iter();
        queues.flat_map(|queue| at_once(self.broker.list(&queue, state, None, usize::MAX)).items).collect()
    }

    fn queues(&self) -> Vec<String> {
        let mut queues = at_once(self.broker.queues());
        queues.retain(|queue| queue != PERFORMED);
        queues
    }
}

/// Polls the future once: the memory broker never waits to read.
fn at_once<T>(answer: impl Future<Output = Result<T, BrokerError>>) -> T {
    answer.now_or_never().expect("the memory broker answers at once").expect("the memory broker answers")
}

#[track_caller]
fn decoded<J: Job>(record: &JobRecord) -> J {
    decode(record.version, &record.payload)
        .unwrap_or_else(|error| panic!("job {} can't be read as {:?}: {error}", record.id, J::KIND))
}

fn listed(are: &str, records: &[JobRecord]) -> String {
    let mut text = if records.is_empty() { "there is none".to_owned() } else { format!("{are}:") };
    for record in records {
        let JobRecord { id, kind, queue, state, payload, .. } = record;
        let shown = &payload[..payload.floor_char_boundary(SHOWN)];
        let _ = write!(text, "\n  {id}: {kind} in {queue}, {}: {shown}", state.as_str());
    }
    text
}

fn story(record: &JobRecord) -> String {
    let JobRecord { kind, queue, run_at, created_at, attempts, note, .. } = record;
    let mut text = format!("  {kind} in {queue}, enqueued {created_at}, due {run_at}");
    for (nth, attempt) in (1..).zip(attempts) {
        let error = attempt.error.as_deref().unwrap_or("no error");
        let _ = write!(text, "\n  run {nth} at {}: {error}", attempt.started_at);
    }
    if let Some(note) = note {
        let _ = write!(text, "\n  note: {note}");
    }
    text
}
