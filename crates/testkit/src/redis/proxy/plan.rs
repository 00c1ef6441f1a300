//! The faults that the proxy causes.

use std::collections::HashSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

/// State shared by the proxy and its connections.
#[derive(Default)]
pub(super) struct Plan {
    faults: Mutex<Faults>,
    dropped: AtomicUsize,
    /// Changes when the current connections must end.
    cuts: watch::Sender<u64>,
}

#[derive(Default)]
struct Faults {
    replies: Replies,
    delay: Duration,
    hangs: bool,
    held: Option<Held>,
}

/// Replies that are held.
#[derive(Default)]
struct Held {
    /// Number of commands so far.
    asked: usize,
    /// Number of replies that may pass. If the sender is dropped, all may.
    passing: watch::Sender<usize>,
}

/// The fate of a reply.
pub(super) enum Fate {
    Passes,
    IsLost,
    Waits(Turn),
}

/// Position of a reply among the held ones.
pub(super) struct Turn {
    nth: usize,
    passing: watch::Receiver<usize>,
}

impl Turn {
    pub(super) async fn comes(mut self) {
        let _ = self.passing.wait_for(|passing| *passing >= self.nth).await;
    }
}

/// The replies to lose.
#[derive(Default)]
enum Replies {
    #[default]
    None,
    Next,
    /// Replies to requests that did not occur before.
    New(HashSet<Vec<u8>>),
    Nth {
        every: usize,
        passed: usize,
    },
}

/// Commands with which clients set up a connection, or query the server.
const INTRODUCTIONS: [&str; 9] = ["ASKING", "AUTH", "CLIENT", "CLUSTER", "HELLO", "INFO", "PING", "QUIT", "SELECT"];

impl Plan {
    pub(super) fn arm(&self) {
        self.faults().replies = Replies::Next;
    }

    pub(super) fn each_once(&self) {
        self.faults().replies = Replies::New(HashSet::new());
    }

    pub(super) fn each_nth(&self, every: usize) {
        assert!(every > 0, "every zeroth reply");
        self.faults().replies = Replies::Nth { every, passed: 0 };
    }

    pub(super) fn delay_by(&self, delay: Duration) {
        self.faults().delay = delay;
    }

    pub(super) fn hang(&self) {
        self.faults().hangs = true;
    }

    pub(super) fn hold(&self) {
        self.faults().held = Some(Held::default());
    }

    pub(super) fn release(&self, count: usize) {
        if let Some(held) = &self.faults().held {
            held.passing.send_modify(|passing| *passing += count);
        }
    }

    pub(super) fn held(&self) -> usize {
        self.faults().held.as_ref().map_or(0, |held| held.asked)
    }

    pub(super) fn restore(&self) {
        let had_hung = std::mem::take(&mut *self.faults()).hangs;
        if had_hung {
            self.cut();
        }
    }

    pub(super) fn cut(&self) {
        self.cuts.send_modify(|cuts| *cuts += 1);
    }

    pub(super) fn cuts(&self) -> watch::Receiver<u64> {
        self.cuts.subscribe()
    }

    pub(super) fn dropped(&self) -> usize {
        self.dropped.load(Ordering::SeqCst)
    }

    pub(super) fn has_dropped(&self) {
        self.dropped.fetch_add(1, Ordering::SeqCst);
    }

    pub(super) fn delay(&self) -> Duration {
        self.faults().delay
    }

    pub(super) fn hangs(&self) -> bool {
        self.faults().hangs
    }

    /// Decides the fate of the reply to a request. Called once per request.
    pub(super) fn fate(&self, name: &str, request: &[u8]) -> Fate {
        if INTRODUCTIONS.iter().any(|introduction| introduction.eq_ignore_ascii_case(name)) {
            return Fate::Passes;
        }
        let mut faults = self.faults();
        let is_lost = match &mut faults.replies {
            Replies::None => false,
            Replies::Next => {
                faults.replies = Replies::None;
                true
            }
            Replies::New(seen) => seen.insert(request.to_vec()),
            Replies::Nth { every, passed } => {
                *passed += 1;
                *passed % *every == 0
            }
        };
        match &mut faults.held {
            _ if is_lost => Fate::IsLost,
            Some(held) => {
                held.asked += 1;
                Fate::Waits(Turn { nth: held.asked, passing: held.passing.subscribe() })
            }
            None => Fate::Passes,
        }
    }

    fn faults(&self) -> MutexGuard<'_, Faults> {
        self.faults.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
