//! A limit that finds itself: how many at a time a service bears, from how long it takes.

use std::time::Duration;

use crate::Timestamp;
use crate::clock::whole_micros;

/// Finds how many requests at a time a service bears before they wait for one another.
///
/// The **baseline** is how long a request takes where none waits. In every window, 100 ms or 20 requests, whichever is later, the
/// limit is multiplied by `1.5 × baseline / time taken`, at least a half and at most 1, and then grows by its root if it is in
/// use: the root is the queue that is left standing, so that no capacity is wasted. Requests that failed for want of capacity
/// lower the limit further: if all did, to half of that.
///
/// The baseline follows a service that becomes faster at once. Whether it became *slower*, or only has a queue, can't be
/// told from outside, so it is **probed again**: about every 30 s, and whenever the limit has lost half since the last probe, only
/// half as many are let in until 20 of those are done, a second at most. What they took is the new baseline. So a service that is
/// slower for good isn't throttled for ever. Where fewer than half of the limit are under way nothing waits, and the baseline
/// follows in both directions without a probe.
///
/// A pure function of the state, the time and what was observed; it knows no clock.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Gradient {
    min: f64,
    max: f64,
    initial: f64,
    probe_every: u64,
}

/// How a request ended, for the limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was served: how long it took says how loaded the service is.
    Success,
    /// It failed for want of capacity, as by a time-out or a 503.
    Overload,
    /// It says nothing of the load, as an error of the client or one that was given up.
    Ignored,
}

/// What is known of one request that ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sample {
    pub(crate) started: Timestamp,
    pub(crate) ended: Timestamp,
    /// How many were under way when it started, itself included.
    pub(crate) in_flight: u32,
    pub(crate) outcome: Outcome,
}

/// What [`Gradient`] remembers of one service.
#[derive(Clone, Debug)]
pub(crate) struct GradientState {
    limit: f64,
    /// In microseconds.
    baseline: Option<f64>,
    phase: Phase,
    window: Window,
    /// The limit when the baseline was last taken, and when it is to be taken next.
    limit_then: f64,
    next_probe: u64,
    earliest_probe: u64,
    random: u64,
}

#[derive(Clone, Copy, Debug)]
enum Phase {
    Steady,
    /// No more than `cap` are let in, and those count.
    Probing {
        since: u64,
        cap: u32,
    },
}

/// What ended since the window began.
#[derive(Clone, Copy, Debug)]
struct Window {
    began: u64,
    served: u32,
    overloaded: u32,
    total_micros: f64,
    most_in_flight: u32,
}

impl Window {
    const fn new(began: u64) -> Self {
        Self { began, served: 0, overloaded: 0, total_micros: 0.0, most_in_flight: 0 }
    }

    fn add(&mut self, sample: Sample) {
        self.most_in_flight = self.most_in_flight.max(sample.in_flight);
        match sample.outcome {
            Outcome::Success => {
                self.served = self.served.saturating_add(1);
                self.total_micros += micros(sample.ended.saturating_since(sample.started));
            }
            Outcome::Overload => self.overloaded = self.overloaded.saturating_add(1),
            Outcome::Ignored => {}
        }
    }

    /// How long a request took on average.
    fn mean(&self) -> Option<f64> {
        (self.served > 0).then(|| self.total_micros / f64::from(self.served))
    }

    fn overload_share(&self) -> f64 {
        f64::from(self.overloaded) / f64::from((self.served + self.overloaded).max(1))
    }
}

const WINDOW: u64 = 100_000;
/// A window with too few requests ends after so long all the same, and so does a probe.
const LONGEST: u64 = 1_000_000;
const ENOUGH: u32 = 20;
/// How much longer than the baseline a request may take before the limit falls.
const TOLERANCE: f64 = 1.5;
/// The most that one window takes away.
const LEAST_FACTOR: f64 = 0.5;
/// How much of the way a baseline goes to what was seen, so that one lucky window doesn't throttle.
const SMOOTHING: f64 = 0.2;

impl Default for Gradient {
    fn default() -> Self {
        Self { min: 2.0, max: 1_000.0, initial: 20.0, probe_every: 30_000_000 }
    }
}

impl Gradient {
    /// A limit of between 2 and 1,000 that begins at 20 and probes its baseline about every 30 s.
    pub fn new() -> Self {
        Self::default()
    }

    /// Keeps the limit between `min`, at least 1, and `max`, at least `min`.
    #[must_use]
    pub fn bounds(mut self, min: u32, max: u32) -> Self {
        self.min = f64::from(min.max(1));
        self.max = f64::from(max).max(self.min);
        self.initial = self.initial.clamp(self.min, self.max);
        self
    }

    /// Begins at `limit`, within the bounds.
    #[must_use]
    pub fn initial(mut self, limit: u32) -> Self {
        self.initial = f64::from(limit).clamp(self.min, self.max);
        self
    }

    /// Probes the baseline about so often, spread by 15 % so that processes don't probe together; at least every second.
    #[must_use]
    pub fn probe_every(mut self, interval: Duration) -> Self {
        self.probe_every = whole_micros(interval).max(1_000_000);
        self
    }

    /// The state of a service that was never called; `seed` spreads its probes.
    pub(crate) fn begin(&self, now: Timestamp, seed: u64) -> GradientState {
        let now = now.as_micros();
        let mut state = GradientState {
            limit: self.initial,
            baseline: None,
            phase: Phase::Steady,
            window: Window::new(now),
            limit_then: self.initial,
            next_probe: 0,
            earliest_probe: now,
            random: seed,
        };
        self.plan_probe(&mut state, now);
        state
    }

    /// How many at a time.
    pub(crate) fn limit(state: &GradientState) -> u32 {
        let limit = match state.phase {
            Phase::Steady => state.limit,
            Phase::Probing { cap, .. } => f64::from(cap),
        };
        whole(limit)
    }

    /// Takes one request that ended into account.
    pub(crate) fn observe(&self, state: &mut GradientState, sample: Sample) {
        let now = sample.ended.as_micros();
        if state.window.began > now {
            // The clock was set back: what was measured across the step says nothing.
            state.phase = Phase::Steady;
            state.window = Window::new(now);
            self.plan_probe(state, now);
            return;
        }
        match state.phase {
            Phase::Steady => {
                state.window.add(sample);
                if has_ended(&state.window, now, WINDOW) {
                    self.adjust(state, now);
                }
            }
            Phase::Probing { since, cap } => {
                // Those that were let in before still met the queue.
                if sample.started.as_micros() >= since && sample.in_flight <= cap {
                    state.window.add(sample);
                }
                if has_ended(&state.window, now, 0) {
                    self.end_probe(state, now);
                }
            }
        }
    }

    fn adjust(&self, state: &mut GradientState, now: u64) {
        let window = std::mem::replace(&mut state.window, Window::new(now));
        let is_busy = 2.0 * f64::from(window.most_in_flight) >= state.limit;
        if let Some(mean) = window.mean() {
            let baseline = state.baseline.unwrap_or(mean);
            let follows = mean < baseline || !is_busy;
            state.baseline = Some(if follows { baseline + SMOOTHING * (mean - baseline) } else { baseline });
            if !is_busy {
                self.plan_probe(state, now);
            }
        }
        let slower = match (window.mean(), state.baseline) {
            (Some(mean), Some(baseline)) if mean > 0.0 => (TOLERANCE * baseline / mean).clamp(LEAST_FACTOR, 1.0),
            _ => 1.0,
        };
        let overload = window.overload_share();
        let room = if is_busy { state.limit.sqrt() * (1.0 - overload) } else { 0.0 };
        let limit = state.limit * slower * (1.0 - overload / 2.0) + room;
        state.limit = limit.clamp(self.min, self.max);
        let has_fallen = state.limit < state.limit_then / 2.0 && now >= state.earliest_probe;
        if has_fallen || now >= state.next_probe {
            let cap = whole((state.limit / 2.0).max(self.min));
            state.phase = Phase::Probing { since: now, cap };
        }
    }

    fn end_probe(&self, state: &mut GradientState, now: u64) {
        let window = std::mem::replace(&mut state.window, Window::new(now));
        // Of few the mean says little; then the old baseline is worth as much.
        let seen = window.mean().filter(|_| window.served >= ENOUGH / 4);
        state.baseline = seen.or(state.baseline);
        state.phase = Phase::Steady;
        self.plan_probe(state, now);
    }

    /// The baseline is as good as new: the next probe is due in a while.
    fn plan_probe(&self, state: &mut GradientState, now: u64) {
        state.random = state.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        // Between 85 % and 115 %.
        let percent = 85 + (state.random >> 33) % 31;
        state.next_probe = now.saturating_add((self.probe_every / 100).saturating_mul(percent));
        state.earliest_probe = now.saturating_add(LONGEST);
        state.limit_then = state.limit;
    }
}

fn has_ended(window: &Window, now: u64, least: u64) -> bool {
    let age = now - window.began;
    let ended = window.served.saturating_add(window.overloaded);
    (age >= least && ended >= ENOUGH) || age >= LONGEST
}

fn micros(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e6
}

/// A limit as a whole number, at least one.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "limits are between 1 and u32::MAX")]
fn whole(limit: f64) -> u32 {
    limit.max(1.0) as u32
}
