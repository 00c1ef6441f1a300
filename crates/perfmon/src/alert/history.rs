//! What has been, within bounds.

use std::collections::VecDeque;

use super::record::{Alert, Transition};

/// The newest ended alerts and the newest transitions.
#[derive(Debug)]
pub(super) struct History {
    most: usize,
    ended: VecDeque<Alert>,
    transitions: VecDeque<Transition>,
}

/// The transitions after a known one.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Since {
    /// In the order in which it happened.
    pub transitions: Vec<Transition>,
    /// Whether there was more that has been dropped, or the number is not from this process. A
    /// follower should then read the [list](crate::Alerts::list) again.
    pub missed: bool,
}

impl History {
    pub(super) fn new(most: usize) -> Self {
        Self { most, ended: VecDeque::new(), transitions: VecDeque::new() }
    }

    pub(super) fn end(&mut self, alert: Alert) {
        push(&mut self.ended, alert, self.most);
    }

    pub(super) fn happened(&mut self, transition: Transition) {
        push(&mut self.transitions, transition, self.most);
    }

    /// Newest first.
    pub(super) fn ended(&self) -> impl Iterator<Item = &Alert> {
        self.ended.iter().rev()
    }

    /// `last` is the number of the latest transition ever.
    pub(super) fn since(&self, seq: u64, last: u64) -> Since {
        let oldest = self.transitions.front().map_or(last + 1, |transition| transition.seq);
        Since {
            transitions: self.transitions.iter().filter(|transition| transition.seq > seq).cloned().collect(),
            missed: seq > last || seq + 1 < oldest,
        }
    }
}

fn push<T>(to: &mut VecDeque<T>, item: T, most: usize) {
    if most == 0 {
        return;
    }
    if to.len() == most {
        to.pop_front();
    }
    to.push_back(item);
}
