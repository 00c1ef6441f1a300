//! Which requests of an endpoint have begun and not ended.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use slab::Slab;

use crate::histogram::slot::OWN;
use crate::request::body_wait::BodyWait;

/// Size of a note in a slab: a start, or the next free place in the bits that no duration uses.
const NOTE_BYTES: usize = size_of::<Option<Start>>();

/// The starts of one endpoint's requests. There are as many lists as stripes, so that threads
/// rarely contend for a lock, and no two lists share a cache line.
#[derive(Debug)]
pub(crate) struct UnderWay([Starts; OWN + 1]);

#[derive(Debug, Default)]
#[repr(align(64))]
struct Starts(Mutex<Slab<Start>>);

#[derive(Debug)]
struct Start {
    at: Duration,
    body: Option<BodyWait>,
}

/// Place of a note.
#[cfg(feature = "tower")]
#[derive(Debug, Clone, Copy)]
pub(crate) struct Note {
    list: usize,
    key: usize,
}

impl UnderWay {
    pub(crate) fn new() -> Self {
        Self(std::array::from_fn(|_| Starts::default()))
    }

    #[cfg(feature = "tower")]
    pub(crate) fn begin(&self, at: Duration, body: Option<BodyWait>) -> Note {
        // A thread that has recorded nothing yet uses the list of those that share.
        let list = crate::histogram::slot::known().min(OWN);
        Note { list, key: self.0[list].open().insert(Start { at, body }) }
    }

    /// Ends what began with this note, on whichever thread.
    #[cfg(feature = "tower")]
    pub(crate) fn end(&self, note: Note) {
        self.0[note.list].open().try_remove(note.key);
    }

    /// How many there are.
    #[cfg(feature = "prometheus")]
    pub(crate) fn count(&self) -> usize {
        self.0.iter().map(|list| list.open().len()).sum()
    }

    /// The room that its notes have taken. It is that of the most that were ever under way at once.
    pub(crate) fn bytes(&self) -> usize {
        self.0.iter().map(|list| list.open().capacity() * NOTE_BYTES).sum()
    }

    /// Calls `see` for each request with the time at which it would have begun if its client had
    /// sent everything at once.
    pub(crate) fn each(&self, now: Duration, mut see: impl FnMut(Duration)) {
        for list in &self.0 {
            for (_, Start { at, body }) in list.open().iter() {
                see(*at + body.as_ref().map(|body| body.until(now)).unwrap_or_default());
            }
        }
    }
}

impl Starts {
    fn open(&self) -> MutexGuard<'_, Slab<Start>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
