//! Unique keys and the jobs that hold them.

use std::collections::HashMap;

use crate::id::JobId;
use crate::timestamp::Timestamp;
use crate::unique::Unique;

#[derive(Default)]
pub(super) struct Holds(HashMap<String, Hold>);

struct Hold {
    by: JobId,
    /// `None` if the key is held until the job has ended.
    until: Option<Timestamp>,
}

impl Hold {
    fn is_expired(&self, now: Timestamp) -> bool {
        self.until.is_some_and(|until| until <= now)
    }
}

impl Holds {
    pub(super) fn holder(&self, key: &str, now: Timestamp) -> Option<JobId> {
        self.0.get(key).filter(|hold| !hold.is_expired(now)).map(|hold| hold.by.clone())
    }

    pub(super) fn take(&mut self, unique: &Unique, by: &JobId, now: Timestamp) {
        let hold = Hold { by: by.clone(), until: unique.hold.map(|time| now.after(time)) };
        self.0.insert(unique.key.clone(), hold);
    }

    /// Releases the key of an ended job, unless it is held for a fixed time or by another job.
    pub(super) fn release(&mut self, key: &str, by: &JobId) {
        if self.0.get(key).is_some_and(|hold| hold.by == *by && hold.until.is_none()) {
            self.0.remove(key);
        }
    }

    pub(super) fn forget_expired(&mut self, now: Timestamp) {
        self.0.retain(|_, hold| !hold.is_expired(now));
    }
}
