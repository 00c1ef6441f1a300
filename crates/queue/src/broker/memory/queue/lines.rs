//! The lines of jobs behind an ordering key: one is active, the others wait in the order of their enqueue.

use std::collections::{BTreeMap, HashMap};

use crate::id::JobId;

#[derive(Default)]
pub(super) struct Lines(HashMap<String, Line>);

struct Line {
    active: JobId,
    /// By running number.
    waiting: BTreeMap<i64, JobId>,
}

impl Lines {
    /// Returns whether the job is the active one; else it waits.
    pub(super) fn join(&mut self, key: &str, seq: i64, id: &JobId) -> bool {
        if let Some(line) = self.0.get_mut(key) {
            line.waiting.insert(seq, id.clone());
            return false;
        }
        self.0.insert(key.to_owned(), Line { active: id.clone(), waiting: BTreeMap::new() });
        true
    }

    /// Returns which job is active now in place of that one.
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
