//! Which readings have exceeded their threshold and are not clear of it yet.

use std::collections::BTreeMap;

use crate::health::hysteresis::MARGIN;
use crate::health::score::AT_THRESHOLD;

/// Evaluations after which a breach is forgotten when its reading can't be judged any more.
const FORGOTTEN_AFTER: u8 = 60;

/// A breach lasts until its own reading is 10 points better than at its threshold. Without this, a
/// reading that hovers at its threshold would end its breach each time it is slightly below,
/// however good the other components and the overall score are. Readings that only come near the
/// threshold hold nothing.
#[derive(Debug, Default)]
pub(crate) struct Latch {
    held: BTreeMap<String, Held>,
}

#[derive(Debug)]
struct Held {
    silent: u8,
    word: Word,
}

/// The result of a reading in an evaluation; of several with one name the worst counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Word {
    Silent,
    Clear,
    Near,
}

impl Latch {
    /// Takes in a judged reading; end the round with [`turn`](Self::turn).
    pub(crate) fn observe(&mut self, name: &str, score: Option<f64>, breached: bool) {
        if breached {
            self.held.insert(name.to_owned(), Held { silent: 0, word: Word::Near });
        } else if let Some(held) = self.held.get_mut(name) {
            let clear_from = AT_THRESHOLD + f64::from(MARGIN);
            held.word = held.word.max(match score {
                None => Word::Silent,
                Some(score) if score < clear_from => Word::Near,
                Some(_) => Word::Clear,
            });
        }
    }

    /// Drops the breaches that this round found clear, or unknown for too long. Returns whether any
    /// breach lasts.
    pub(crate) fn turn(&mut self) -> bool {
        self.held.retain(|_, held| {
            held.silent = if held.word == Word::Silent { held.silent + 1 } else { 0 };
            let lasts = held.word != Word::Clear && held.silent < FORGOTTEN_AFTER;
            held.word = Word::Silent;
            lasts
        });
        !self.held.is_empty()
    }

    /// Whether the breach of the reading lasts.
    pub(crate) fn holds(&self, name: &str) -> bool {
        self.held.contains_key(name)
    }

    /// The readings whose breach lasts.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.held.keys().map(String::as_str)
    }
}
