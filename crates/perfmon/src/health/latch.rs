//! Which readings have exceeded their threshold and are not clear of it yet.

use std::collections::BTreeMap;

use crate::health::hysteresis::MARGIN;
use crate::health::score::AT_THRESHOLD;

/// Number of evaluations after which a breach ends if its reading has been unknown since.
const FORGOTTEN_AFTER: u8 = 60;

/// A breach lasts until its own reading is 10 points better than at its threshold. Without this, a
/// reading that hovers at its threshold would end its breach each time it is slightly below,
/// however good the other components and the overall score are. Readings that only come near the
/// threshold are not kept.
#[derive(Debug, Default)]
pub(crate) struct Latch {
    breaches: BTreeMap<String, Breach>,
}

#[derive(Debug)]
struct Breach {
    /// Number of evaluations in a row in which the reading was unknown.
    unknown_for: u8,
    latest: Latest,
}

/// The latest result of a reading. If several have the same name, the worst one counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Latest {
    Unknown,
    Clear,
    Near,
}

impl Latch {
    /// Takes in a judged reading; end the round with [`turn`](Self::turn).
    pub(crate) fn observe(&mut self, name: &str, score: Option<f64>, breached: bool) {
        if breached {
            self.breaches.insert(name.to_owned(), Breach { unknown_for: 0, latest: Latest::Near });
        } else if let Some(breach) = self.breaches.get_mut(name) {
            let clear_from = AT_THRESHOLD + f64::from(MARGIN);
            breach.latest = breach.latest.max(match score {
                None => Latest::Unknown,
                Some(score) if score < clear_from => Latest::Near,
                Some(_) => Latest::Clear,
            });
        }
    }

    /// Drops the breaches that this round found clear, or unknown for too long. Returns whether any
    /// breach lasts.
    pub(crate) fn turn(&mut self) -> bool {
        self.breaches.retain(|_, breach| {
            breach.unknown_for = if breach.latest == Latest::Unknown { breach.unknown_for + 1 } else { 0 };
            let lasts = breach.latest != Latest::Clear && breach.unknown_for < FORGOTTEN_AFTER;
            breach.latest = Latest::Unknown;
            lasts
        });
        !self.breaches.is_empty()
    }

    /// Whether the breach of the reading lasts.
    pub(crate) fn holds(&self, name: &str) -> bool {
        self.breaches.contains_key(name)
    }

    /// Returns the names of the readings whose breach lasts.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.breaches.keys().map(String::as_str)
    }
}
