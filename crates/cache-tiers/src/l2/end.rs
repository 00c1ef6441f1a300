//! An entry that marks an end.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use super::new::New;
use crate::key::Key;

/// An entry that stays, and is owed as such. A deleted key in its place could be written again.
#[derive(Clone)]
pub struct End {
    pub(super) key: Key,
    pub(super) new: Arc<New>,
}

// One end of a key is as good as another.
impl PartialEq for End {
    fn eq(&self, other: &Self) -> bool {
        self.key == other.key
    }
}

impl Eq for End {}

impl Hash for End {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.key.hash(state);
    }
}

impl fmt::Debug for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("End").field("key", &self.key).finish_non_exhaustive()
    }
}
