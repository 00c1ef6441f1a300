//! The breaker as a state machine, without clock, lock and observer.

use std::time::Duration;

use tokio::time::Instant;

use super::window::{Counts, Window};

/// State of a [`CircuitBreaker`](super::CircuitBreaker).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum State {
    /// Every call runs.
    Closed,
    /// Calls are refused for a while.
    Open,
    /// A bounded number of calls runs as probes.
    HalfOpen,
    /// Calls are refused until a reset.
    ForcedOpen,
}

/// When the breaker opens, for how long, and how it is probed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules {
    pub(super) consecutive: Option<u32>,
    pub(super) rate: Option<FailureRate>,
    pub(super) open_for: Duration,
    pub(super) probes: u32,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct FailureRate {
    pub(super) share: f64,
    pub(super) window: Duration,
    pub(super) min_calls: u32,
}

/// Evidence that the end of a call gives about the dependency.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Signal {
    Success,
    Failure,
    Nothing,
}

/// Move from one state to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Change {
    pub(super) from: State,
    pub(super) to: State,
}

/// The generation of an admitted call, or the time after which to ask again.
pub(super) type Admission = Result<u64, Option<Duration>>;

#[derive(Debug)]
pub(super) struct Machine {
    rules: Rules,
    /// Number of changes so far. A call of an older generation does not count.
    generation: u64,
    phase: Phase,
}

#[derive(Debug)]
enum Phase {
    Closed {
        failures_in_a_row: u32,
        window: Option<Window>,
    },
    Open {
        since: Instant,
    },
    HalfOpen {
        /// Probes that run or have succeeded.
        slots_in_use: u32,
        successes: u32,
        last_probe: Instant,
    },
    ForcedOpen,
}

impl Machine {
    pub(super) fn new(rules: Rules, now: Instant) -> Self {
        Self { rules, generation: 0, phase: Phase::closed(&rules, now) }
    }

    pub(super) fn state(&self, now: Instant) -> State {
        match &self.phase {
            Phase::Open { since } if self.wait_since(*since, now).is_none() => State::HalfOpen,
            phase => phase.state(),
        }
    }

    /// State without regard to the time.
    #[cfg(test)]
    pub(super) fn state_entered(&self) -> State {
        self.phase.state()
    }

    /// Whether the machine has nothing to remember: a new one would do the same.
    pub(super) fn is_fresh(&self) -> bool {
        match &self.phase {
            Phase::Closed { failures_in_a_row: 0, window } => {
                window.as_ref().is_none_or(|window| window.total() == Counts::default())
            }
            _ => false,
        }
    }

    /// Admits or refuses one call. A closed breaker does not read the clock.
    pub(super) fn admit(&mut self, now: impl FnOnce() -> Instant) -> (Admission, Option<Change>) {
        match &mut self.phase {
            Phase::Closed { .. } => (Ok(self.generation), None),
            Phase::ForcedOpen => (Err(None), None),
            &mut Phase::Open { since } => {
                let now = now();
                if let Some(wait) = self.wait_since(since, now) {
                    return (Err(Some(wait)), None);
                }
                let change = self.change(Phase::HalfOpen { slots_in_use: 1, successes: 0, last_probe: now });
                (Ok(self.generation), change)
            }
            Phase::HalfOpen { slots_in_use, last_probe, .. } => {
                let now = now();
                let wait = open_for_left(self.rules.open_for, *last_probe, now);
                // A probe without a result must not close the way for ever.
                if *slots_in_use >= self.rules.probes && wait.is_some() {
                    return (Err(wait), None);
                }
                *slots_in_use = slots_in_use.saturating_add(1);
                *last_probe = now;
                (Ok(self.generation), None)
            }
        }
    }

    /// Counts the end of a call that was admitted in `generation`.
    pub(super) fn finish(&mut self, generation: u64, signal: Signal, now: impl FnOnce() -> Instant) -> Option<Change> {
        if generation != self.generation {
            return None;
        }
        let rules = &self.rules;
        match (&mut self.phase, signal) {
            (Phase::Closed { failures_in_a_row, window }, Signal::Success) => {
                *failures_in_a_row = 0;
                if let Some(window) = window {
                    window.record(false, now());
                }
                None
            }
            (Phase::Closed { failures_in_a_row, window }, Signal::Failure) => {
                let now = now();
                *failures_in_a_row = failures_in_a_row.saturating_add(1);
                if let Some(window) = window {
                    window.record(true, now);
                }
                let in_a_row = rules.consecutive.is_some_and(|most| *failures_in_a_row >= most);
                let by_rate = rules.rate.zip(window.as_ref()).is_some_and(|(rate, window)| rate.is_met(window.total()));
                if in_a_row || by_rate { self.change(Phase::Open { since: now }) } else { None }
            }
            (Phase::HalfOpen { successes, .. }, Signal::Success) => {
                *successes += 1;
                if *successes < rules.probes {
                    return None;
                }
                let closed = Phase::closed(rules, now());
                self.change(closed)
            }
            (Phase::HalfOpen { .. }, Signal::Failure) => self.change(Phase::Open { since: now() }),
            (Phase::HalfOpen { slots_in_use, .. }, Signal::Nothing) => {
                *slots_in_use = slots_in_use.saturating_sub(1);
                None
            }
            _ => None,
        }
    }

    pub(super) fn force_open(&mut self) -> Option<Change> {
        self.change(Phase::ForcedOpen)
    }

    pub(super) fn reset(&mut self, now: Instant) -> Option<Change> {
        self.change(Phase::closed(&self.rules, now))
    }

    /// Begins a new generation. Returns the change, if the state is another one.
    fn change(&mut self, phase: Phase) -> Option<Change> {
        let (from, to) = (self.phase.state(), phase.state());
        self.generation += 1;
        self.phase = phase;
        (from != to).then_some(Change { from, to })
    }

    fn wait_since(&self, since: Instant, now: Instant) -> Option<Duration> {
        open_for_left(self.rules.open_for, since, now)
    }
}

/// Returns what is left of `open_for`, if anything.
fn open_for_left(open_for: Duration, since: Instant, now: Instant) -> Option<Duration> {
    open_for.checked_sub(now.saturating_duration_since(since)).filter(|left| !left.is_zero())
}

impl FailureRate {
    fn is_met(&self, counts: Counts) -> bool {
        counts.calls >= self.min_calls && f64::from(counts.failures) >= self.share * f64::from(counts.calls)
    }
}

impl Phase {
    fn closed(rules: &Rules, now: Instant) -> Self {
        let window = rules.rate.map(|rate| Window::new(rate.window, now));
        Self::Closed { failures_in_a_row: 0, window }
    }

    fn state(&self) -> State {
        match self {
            Self::Closed { .. } => State::Closed,
            Self::Open { .. } => State::Open,
            Self::HalfOpen { .. } => State::HalfOpen,
            Self::ForcedOpen => State::ForcedOpen,
        }
    }
}
