//! What waits to be delivered, in order.

use std::collections::VecDeque;
use std::time::Duration;

use serde::Serialize;

use super::record::Transition;

/// The waits after each failure but the last, in seconds: nine minutes in all. A receiver that
/// restarts, or is cut off by the incident itself, is usually back by then.
const WAITS: [u64; 7] = [1, 5, 15, 30, 60, 120, 300];

/// An item of an [`Outbox`], known by its number.
pub trait Numbered {
    /// A number that no other item of the same outbox has.
    fn number(&self) -> u64;
}

impl Numbered for Transition {
    fn number(&self) -> u64 {
        self.seq
    }
}

/// Transitions on their way to one receiver, such as a webhook. It is bounded and keeps their
/// order. Each transition is tried eight times over nine minutes.
///
/// It does nothing by itself. The sender takes the [`next`](Self::next) transition, tries to
/// deliver it, and reports the result. So a receiver that hangs delays only the transitions in this
/// outbox. If there are too many, the oldest of those that wait behind it are dropped and counted.
#[derive(Debug)]
pub struct Outbox<T = Transition> {
    most: usize,
    waiting: VecDeque<Waiting<T>>,
    counts: OutboxCounts,
}

#[derive(Debug)]
struct Waiting<T> {
    item: T,
    failures: usize,
    due: Duration,
}

/// How the transitions of an [`Outbox`] ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[non_exhaustive]
pub struct OutboxCounts {
    /// Delivered.
    pub delivered: u64,
    /// Tried, and failed; the tries, not the transitions.
    pub failed: u64,
    /// Given up, after eight tries or at once.
    pub given_up: u64,
    /// Dropped, because too many waited.
    pub dropped: u64,
}

impl<T: Numbered> Outbox<T> {
    /// One in which `most` may wait, at least one.
    pub fn new(most: usize) -> Self {
        Self { most: most.max(1), waiting: VecDeque::new(), counts: OutboxCounts::default() }
    }

    /// Puts a transition behind the others.
    pub fn push(&mut self, item: T) {
        if self.waiting.len() >= self.most {
            self.waiting.pop_front();
            self.counts.dropped += 1;
        }
        self.waiting.push_back(Waiting { item, failures: 0, due: Duration::ZERO });
    }

    /// Returns the oldest transition if it is due. The others wait for it, so that no end is
    /// delivered before its start.
    pub fn next(&self, now: Duration) -> Option<&T> {
        self.waiting.front().filter(|head| head.due <= now).map(|head| &head.item)
    }

    /// When to ask again; `None` when nothing waits.
    pub fn due(&self) -> Option<Duration> {
        self.waiting.front().map(|head| head.due)
    }

    /// Marks the transition of this number as delivered. Does nothing if it is no longer the
    /// oldest, because it was dropped meanwhile.
    pub fn delivered(&mut self, seq: u64) {
        if self.is_head(seq) {
            self.waiting.pop_front();
            self.counts.delivered += 1;
        }
    }

    /// Marks the transition of this number as failed. It is tried again after 1 s, 5 s, 15 s, 30 s,
    /// 1, 2 and 5 minutes, and then given up.
    pub fn failed(&mut self, seq: u64, now: Duration) {
        self.failed_until(seq, now, Duration::ZERO);
    }

    /// As [`failed`](Self::failed), for a receiver that asks for a pause. The next try is not made
    /// before `earliest`.
    pub fn failed_until(&mut self, seq: u64, now: Duration, earliest: Duration) {
        if !self.is_head(seq) {
            return;
        }
        self.counts.failed += 1;
        if let Some(head) = self.waiting.front_mut()
            && let Some(wait) = WAITS.get(head.failures)
        {
            head.failures += 1;
            head.due = now.saturating_add(Duration::from_secs(*wait)).max(earliest);
            return;
        }
        self.waiting.pop_front();
        self.counts.given_up += 1;
    }

    /// The transition of this number failed for a reason that doesn't pass: it is given up at once.
    pub fn give_up(&mut self, seq: u64) {
        if self.is_head(seq) {
            self.waiting.pop_front();
            self.counts.failed += 1;
            self.counts.given_up += 1;
        }
    }

    /// Removes the items that need not be sent any more. They are not counted.
    pub fn retain(&mut self, is_needed: impl Fn(&T) -> bool) {
        self.waiting.retain(|waiting| is_needed(&waiting.item));
    }

    /// How many wait.
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Returns how the other transitions ended.
    pub fn counts(&self) -> OutboxCounts {
        self.counts
    }

    fn is_head(&self, seq: u64) -> bool {
        self.waiting.front().is_some_and(|head| head.item.number() == seq)
    }
}
