//! An adaptive concurrency limit, computed from the duration of requests.

use std::time::Duration;

use crate::Timestamp;
use crate::timestamp::whole_micros;

/// Determines how many concurrent requests a service can handle before they queue.
///
/// The **baseline** is the duration of a request without queueing. After each window the limit is
/// multiplied by `1.5 × baseline / duration`, at least 0.5 and at most 1. If the limit is in use,
/// its square root is then added. The square root is the queue that is allowed to remain, so that
/// no capacity is wasted. The limit grows only if requests were served, so it does not grow for a
/// service that does not respond or returns only errors.
///
/// Requests that failed because of overload lower the limit further: by half if all of them did. A
/// request that was cancelled after more than five times the baseline counts as overload.
///
/// A window ends after 100 ms, after 20 requests, and after the duration of one request, whichever
/// is latest. It is never longer than one second, or than one request if that takes longer.
///
/// If a service becomes faster, by more than random variation explains, the baseline follows
/// immediately. Whether a service has become *slower* or only has a queue is not visible from
/// outside, so the baseline is **probed again**: about every 30 s, and whenever the limit has lost
/// half since the last probe.
///
/// During a probe only half of the limit is admitted. The probe ends after 20 admitted requests
/// have ended and four times their mean duration has passed, so that slow ones are included. It
/// ends with fewer requests after one second has passed since the first was admitted, and four
/// times the longer of the baseline and the last mean duration. Their mean duration is the new
/// baseline. A service that has permanently become slower is therefore not throttled for ever, even
/// if it is slower by seconds. But if a request takes 5 s, the limit needs minutes to rise from 4
/// to 200.
///
/// While less than half of the limit is in use, requests do not queue, and the baseline follows in
/// both directions without a probe.
///
/// This is a pure function of the state, the time and the observations. It has no clock.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Gradient {
    min: f64,
    max: f64,
    initial: f64,
    probe_every: u64,
}

/// Result of a request, for the computation of the limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The request was served. Its duration shows the load of the service.
    Success,
    /// The request failed because of overload, for example with a timeout or a 503.
    Overload,
    /// The request says nothing about the load, for example a client error or a cancelled request.
    Ignored,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sample {
    pub(crate) started: Timestamp,
    pub(crate) ended: Timestamp,
    /// Number of requests in flight when it started, including itself.
    pub(crate) in_flight: u32,
    /// `None` if the request was cancelled without an outcome.
    pub(crate) outcome: Option<Outcome>,
}

#[derive(Clone, Debug)]
pub(crate) struct GradientState {
    limit: f64,
    /// Duration of a request without queueing, in microseconds.
    baseline: Option<f64>,
    /// Mean duration of the requests in the last window that served any, in microseconds.
    last_mean: f64,
    phase: Phase,
    window: Window,
    /// The limit at the last probe. `next_probe` is the time of the next one, in microseconds.
    limit_then: f64,
    next_probe: u64,
    earliest_probe: u64,
    random: u64,
}

#[derive(Clone, Copy, Debug)]
enum Phase {
    Steady,
    /// At most `cap` requests are admitted, and only those are measured.
    Probing {
        since: u64,
        cap: u32,
        /// Start of the first of them that has ended. Earlier requests had to end first.
        first: Option<u64>,
    },
}

/// Requests that ended since the window began.
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

    /// Mean duration of a request, in microseconds.
    fn mean(&self) -> Option<f64> {
        (self.served > 0).then(|| self.total_micros / f64::from(self.served))
    }

    /// Relative random error of the mean, with durations that vary as in a busy service.
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
/// Maximum length of a window, and of a probe of a fast service, in microseconds.
const LONGEST: u64 = 1_000_000;
/// Maximum length of a probe, as a multiple of the duration, to include slow requests.
const PROBE_MEANS: f64 = 4.0;
/// Minimum length of a probe, as a multiple of the mean duration.
const PROBE_LEAST: f64 = 4.0;
/// A request that is cancelled after this multiple of the baseline counts as overload.
const GIVEN_UP: f64 = 5.0;
const ENOUGH: u32 = 20;
/// How much longer than the baseline a request may take before the limit is lowered.
const TOLERANCE: f64 = 1.5;
/// Minimum factor that one window applies to the limit.
const LEAST_FACTOR: f64 = 0.5;
/// Weight of a new observation in the baseline: one very fast window must not throttle.
const SMOOTHING: f64 = 0.2;

impl Default for Gradient {
    fn default() -> Self {
        Self { min: 2.0, max: 1_000.0, initial: 20.0, probe_every: 30_000_000 }
    }
}

impl Gradient {
    /// A limit between 2 and 1,000 that begins at 20 and probes its baseline about every 30 s.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the bounds of the limit: `min` is at least 1, and `max` at least `min`.
    #[must_use]
    pub fn bounds(mut self, min: u32, max: u32) -> Self {
        self.min = f64::from(min.max(1));
        self.max = f64::from(max).max(self.min);
        self.initial = self.initial.clamp(self.min, self.max);
        self
    }

    /// Sets the initial limit, clamped to the bounds.
    #[must_use]
    pub fn initial(mut self, limit: u32) -> Self {
        self.initial = f64::from(limit).clamp(self.min, self.max);
        self
    }

    /// Sets the interval between probes; at least one second. Each interval varies by up to 15 %,
    /// so that processes do not probe at the same time.
    #[must_use]
    pub fn probe_every(mut self, interval: Duration) -> Self {
        self.probe_every = whole_micros(interval).max(1_000_000);
        self
    }

    /// The initial state of a service. `seed` varies the times of its probes.
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

    pub(crate) fn limit(state: &GradientState) -> u32 {
        let limit = match state.phase {
            Phase::Steady => state.limit,
            Phase::Probing { cap, .. } => f64::from(cap),
        };
        whole(limit)
    }

    pub(crate) fn observe(&self, state: &mut GradientState, sample: Sample) {
        let now = sample.ended.as_micros();
        if state.window.began > now {
            // The clock was set back: measurements across the step are invalid.
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
                // Requests that were admitted before the probe were still delayed by the queue.
                if started >= *since && sample.in_flight <= *cap {
                    let first = *first.get_or_insert(started);
                    // Fast requests end first and are not representative.
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
        // A higher limit does not help a service that is busy but serves nothing.
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
        // If a service is so slow that few requests ended, the baseline is their mean. The old
        // baseline would throttle it for ever.
        state.baseline = window.mean().or(state.baseline);
        state.phase = Phase::Steady;
        self.plan_probe(state, now);
    }

    /// Schedules the next probe after the baseline was renewed.
    fn plan_probe(&self, state: &mut GradientState, now: u64) {
        state.random = state.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        // A value between 85 and 115.
        let percent = 85 + (state.random >> 33) % 31;
        state.next_probe = now.saturating_add((self.probe_every / 100).saturating_mul(percent));
        state.earliest_probe = now.saturating_add(LONGEST);
        state.limit_then = state.limit;
    }
}

/// A change takes effect after the duration of one request; an earlier one would repeat it.
fn has_ended(window: &Window, now: u64, last_mean: f64) -> bool {
    let (age, mean) = (now - window.began, whole_or_max(last_mean));
    (age >= WINDOW.max(mean) && window.ended() >= ENOUGH) || age >= LONGEST.max(mean)
}

/// Fast requests end first, so a probe that ends too early underestimates the duration.
fn probe_has_ended(window: &Window, first: Option<u64>, now: u64, patience: u64) -> bool {
    let Some(first) = first else { return false };
    let age = now.saturating_sub(first);
    let enough = whole_or_max(PROBE_LEAST * window.mean().unwrap_or_default());
    (age >= enough && window.ended() >= ENOUGH) || age >= patience
}

/// The outcome of a cancelled request: overload if it took far longer than the baseline.
fn given_up(state: &GradientState, sample: Sample) -> Outcome {
    let took = micros(sample.ended.saturating_since(sample.started));
    match state.baseline {
        Some(baseline) if took > GIVEN_UP * baseline => Outcome::Overload,
        _ => Outcome::Ignored,
    }
}

/// Maximum time that a probe waits for the requests that it admitted, in microseconds.
fn patience(state: &GradientState) -> u64 {
    let longest = state.baseline.unwrap_or_default().max(state.last_mean);
    LONGEST.max(whole_or_max(PROBE_MEANS * longest))
}

fn micros(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e6
}

/// A limit as an integer, at least one.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "limits are between 1 and u32::MAX")]
fn whole(limit: f64) -> u32 {
    limit.max(1.0) as u32
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "not negative, and the cast saturates")]
fn whole_or_max(micros: f64) -> u64 {
    micros as u64
}
