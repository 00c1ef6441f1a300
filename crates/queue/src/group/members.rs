//! Groups of members that this worker settled, to be checked for completion.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;

use tidegate_queue_broker::GroupId;

/// Groups whose members have ended since the last check. A group is checked once, however many of
/// its members ended.
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

    /// Waits until there is a group to check. May return early.
    pub(super) async fn noted(&self) {
        self.noted.notified().await;
    }

    pub(super) fn take(&self) -> HashSet<(Arc<str>, GroupId)> {
        std::mem::take(&mut *self.groups.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
