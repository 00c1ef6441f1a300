//! Members that a worker has settled, on their way to a look at their groups.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;

use crate::id::GroupId;

/// Groups whose members have ended since the last look: however many of one group, it is looked at once.
#[derive(Default)]
pub(crate) struct EndedMembers {
    groups: Mutex<HashSet<(Arc<str>, GroupId)>>,
    noted: Notify,
}

impl EndedMembers {
    pub(crate) fn note(&self, queue: &str, group: &GroupId) {
        let mut groups = self.groups.lock().unwrap_or_else(PoisonError::into_inner);
        if groups.insert((queue.into(), group.clone())) {
            self.noted.notify_one();
        }
    }

    /// Waits until there is one. May return early.
    pub(super) async fn noted(&self) {
        self.noted.notified().await;
    }

    pub(super) fn take(&self) -> HashSet<(Arc<str>, GroupId)> {
        std::mem::take(&mut *self.groups.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
