//! Jobs of each ordering key: one is active, the others wait in the order of their enqueues.

use std::collections::{BTreeMap, HashMap};

use crate::id::JobId;

#[derive(Default)]
pub(super) struct Lines(HashMap<String, Line>);

struct Line {
    active: JobId,
    /// By sequence number.
    waiting: BTreeMap<i64, JobId>,
}

impl Lines {
    /// Adds a job. Returns whether it is the active one; otherwise it waits.
    pub(super) fn join(&mut self, key: &str, seq: i64, id: &JobId) -> bool {
        if let Some(line) = self.0.get_mut(key) {
            line.waiting.insert(seq, id.clone());
            return false;
        }
        self.0.insert(key.to_owned(), Line { active: id.clone(), waiting: BTreeMap::new() });
        true
    }

    /// Removes a job. Returns the job that becomes active in its place.
    pub(super) fn leave(&mut self, key: &str, seq: i64, id: &JobId) -> Option<JobId> {
        let line = self.0.get_mut(key)?;
        if line.active != *id {
            line.waiting.remove(&seq);
            return None;
        }
        match line.waiting.pop_first() {
            Some((_, next)) => line.active = next,
            None => {
                self.0.remove(key);
                return None;
            }
        }
        Some(line.active.clone())
    }
}
