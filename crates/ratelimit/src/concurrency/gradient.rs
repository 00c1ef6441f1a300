//! A limit that finds itself: how many at a time a service bears, from how long it takes.

use std::time::Duration;

use crate::Timestamp;
use crate::clock::whole_micros;

/// Finds how many requests at a time a service bears before they wait for one another.
///
/// The **baseline** is how long a request takes where none waits. In every window, 100 ms, 20 requests or as long as a request
/// takes, whichever is later, a second at most unless requests take longer, the limit is multiplied by `1.5 × baseline / time taken`, at least a half and at most 1, and then grows by its root if it is in
/// use: the root is the queue that is left standing, so that no capacity is wasted. It grows only where something was served: of a
/// service that answers nothing, or errors alone, it stays. Requests that failed for want of capacity lower the limit further: if
/// all did, to half of that. So does one that was given up after more than five times the baseline.
///
/// The baseline follows a service that becomes faster at once, by more than chance explains. Whether it became *slower*, or only has a queue, can't be
/// told from outside, so it is **probed again**: about every 30 s, and whenever the limit has lost half since the last probe, only
/// half as many are let in, until 20 of those are done and those that take longest had the time, four times as long as the others. What
/// they took is the new baseline; of fewer, where a second has passed since the first was let in, and four times the longer of the
/// baseline and what requests took last. So a service that is slower for good isn't throttled for ever, be it by seconds; but where a
/// request takes 5 s the limit needs minutes from 4 to 200. Where fewer than half of the limit are under way nothing waits, and
/// the baseline follows in both directions without a probe.
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
    /// `None` of one that was given up without a word.
    pub(crate) outcome: Option<Outcome>,
}

/// What [`Gradient`] remembers of one service.
#[derive(Clone, Debug)]
pub(crate) struct GradientState {
    limit: f64,
    /// In microseconds.
    baseline: Option<f64>,
    /// How long requests took in the last window that served any, in microseconds.
    last_mean: f64,
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
        /// When the first of those that are done was let in: before it, others had to leave.
        first: Option<u64>,
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

    fn add(&mut self, sample: Sample, outcome: Outcome) {
        self.most_in_flight = self.most_in_flight.max(sample.in_flight);
        match outcome {
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

    /// How far the mean may be off by chance, as a part of it: requests take as unequal times as those of a busy service do.
    fn chance(&self) -> f64 {
        2.0 / f64::from(self.served.max(1)).sqrt()
    }

    fn ended(&self) -> u32 {
        self.served.saturating_add(self.overloaded)
    }

    fn overload_share(&self) -> f64 {
        f64::from(self.overloaded) / f64::from(self.ended().max(1))
    }
}

const WINDOW: u64 = 100_000;
/// A window with too few requests ends after so long all the same, and so does a probe of a fast service.
const LONGEST: u64 = 1_000_000;
/// Of a slower one a probe may take so many times as long as a request: some have to be done, and those that take longest too.
const PROBE_MEANS: f64 = 4.0;
/// And has to, where it takes less than its time.
const PROBE_LEAST: f64 = 4.0;
/// After so many baselines a request that is given up was too slow, whoever gave it up.
const GIVEN_UP: f64 = 5.0;
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
            last_mean: 0.0,
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
        let outcome = sample.outcome.unwrap_or_else(|| given_up(state, sample));
        let patience = patience(state);
        match &mut state.phase {
            Phase::Steady => {
                state.window.add(sample, outcome);
                if has_ended(&state.window, now, state.last_mean) {
                    self.adjust(state, now);
                }
            }
            Phase::Probing { since, cap, first } => {
                let started = sample.started.as_micros();
                // Those that were let in before still met the queue.
                if started >= *since && sample.in_flight <= *cap {
                    let first = *first.get_or_insert(started);
                    // The quick ones are done first, and say too little.
                    if now >= first.saturating_add(whole_or_max(2.0 * state.baseline.unwrap_or_default())) {
                        state.window.add(sample, outcome);
                    }
                }
                if probe_has_ended(&state.window, *first, now, patience) {
                    self.end_probe(state, now);
                }
            }
        }
    }

    fn adjust(&self, state: &mut GradientState, now: u64) {
        let window = std::mem::replace(&mut state.window, Window::new(now));
        let is_busy = 2.0 * f64::from(window.most_in_flight) >= state.limit;
        if let Some(mean) = window.mean() {
            state.last_mean = mean;
            let baseline = state.baseline.unwrap_or(mean);
            let follows = mean < baseline * (1.0 - window.chance()).max(0.0) || !is_busy;
            state.baseline = Some(if follows { baseline + SMOOTHING * (mean - baseline) } else { baseline });
            if !is_busy {
                self.plan_probe(state, now);
            }
        }
        let slower = match (window.mean(), state.baseline) {
            (Some(mean), Some(baseline)) if mean > 0.0 => {
                (TOLERANCE * (1.0 + window.chance() / 2.0) * baseline / mean).clamp(LEAST_FACTOR, 1.0)
            }
            _ => 1.0,
        };
        let overload = window.overload_share();
        // Who is busy without serving anything isn't helped by more of it.
        let grows = is_busy && window.served > 0;
        let room = if grows { state.limit.sqrt() * (1.0 - overload) } else { 0.0 };
        let limit = state.limit * slower * (1.0 - overload / 2.0) + room;
        state.limit = limit.clamp(self.min, self.max);
        let has_fallen = state.limit < state.limit_then / 2.0 && now >= state.earliest_probe;
        if has_fallen || now >= state.next_probe {
            let cap = whole((state.limit / 2.0).max(self.min));
            state.phase = Phase::Probing { since: now, cap, first: None };
        }
    }

    fn end_probe(&self, state: &mut GradientState, now: u64) {
        let window = std::mem::replace(&mut state.window, Window::new(now));
        // A service so slow that few were done has a baseline of few: the old one would throttle it for ever.
        state.baseline = window.mean().or(state.baseline);
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

/// A change of the limit shows after as long as a request takes: before that another one would only repeat it.
fn has_ended(window: &Window, now: u64, last_mean: f64) -> bool {
    let (age, mean) = (now - window.began, whole_or_max(last_mean));
    (age >= WINDOW.max(mean) && window.ended() >= ENOUGH) || age >= LONGEST.max(mean)
}

/// The quick ones are done first, so that what is done too early says too little of how long a request takes.
fn probe_has_ended(window: &Window, first: Option<u64>, now: u64, patience: u64) -> bool {
    let Some(first) = first else { return false };
    let age = now.saturating_sub(first);
    let enough = whole_or_max(PROBE_LEAST * window.mean().unwrap_or_default());
    (age >= enough && window.ended() >= ENOUGH) || age >= patience
}

/// What a request says that was given up: where it had far longer than it takes, that the service is too slow.
fn given_up(state: &GradientState, sample: Sample) -> Outcome {
    let took = micros(sample.ended.saturating_since(sample.started));
    match state.baseline {
        Some(baseline) if took > GIVEN_UP * baseline => Outcome::Overload,
        _ => Outcome::Ignored,
    }
}

/// How long a probe waits for those that it let in.
fn patience(state: &GradientState) -> u64 {
    let longest = state.baseline.unwrap_or_default().max(state.last_mean);
    LONGEST.max(whole_or_max(PROBE_MEANS * longest))
}

fn micros(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e6
}

/// A limit as a whole number, at least one.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "limits are between 1 and u32::MAX")]
fn whole(limit: f64) -> u32 {
    limit.max(1.0) as u32
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "not negative, and the cast saturates")]
fn whole_or_max(micros: f64) -> u64 {
    micros as u64
}
