//! Conservative sliding window: charges are grouped into segments, and a segment counts in full
//! until its last charge is older than the window.

use std::collections::VecDeque;
use std::num::NonZeroU16;
use std::time::Duration;

use super::{Algorithm, ensure_fits, most_charged};
use crate::{Allowance, CheckError, Decision, Denial, Quota, QuotaError, Timestamp};

/// Admits at most `limit` in any window.
///
/// Bound: at most `limit` in any half-open interval of one period. In return, a charge may count
/// for up to `period / segments` longer than the period, but never for less than the period.
///
/// The first charge that fits no segment begins a new one. The segment takes the charges of the
/// next `period / segments`, and expires one period after its last charge. A burst therefore counts
/// for exactly one period, and if charges are further apart than a segment, the algorithm equals
/// the exact log. Time O(1) amortised, O(segments) for a refusal. At most `segments + 1` entries of
/// 16 bytes per key, fewer with a smaller limit. There is no burst.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SlidingWindow {
    quota: Quota,
    segment: u64,
    /// Number of segments per period. `None` if segments are one microsecond long.
    segments: Option<NonZeroU16>,
}

/// State that [`SlidingWindow`] keeps for a key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SlidingWindowState {
    segments: VecDeque<Segment>,
    /// Start of the newest segment.
    begun: u64,
    used: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Segment {
    last: u64,
    used: u64,
}

const SEGMENTS: NonZeroU16 = NonZeroU16::new(60).expect("60 is not zero");

impl SlidingWindow {
    /// Applies `quota` without a burst, with 60 segments: a minute counts up to a second longer.
    pub const fn new(quota: Quota) -> Self {
        Self::with_segments(quota, SEGMENTS)
    }

    /// Applies `quota` without a burst, with the given number of segments. More segments mean
    /// shorter waits and more memory.
    pub const fn with_segments(quota: Quota, segments: NonZeroU16) -> Self {
        Self::cut(quota, Some(segments))
    }

    /// Applies `quota` with segments of one microsecond, the unit of time.
    pub(super) const fn exact(quota: Quota) -> Self {
        Self::cut(quota, None)
    }

    const fn cut(quota: Quota, segments: Option<NonZeroU16>) -> Self {
        let segment = match segments {
            Some(segments) => quota.period_micros().div_ceil(segments.get() as u64),
            None => 1,
        };
        Self { quota: quota.without_burst(), segment, segments }
    }

    #[cfg(feature = "redis")]
    pub(crate) fn segment_micros(&self) -> u64 {
        self.segment
    }

    #[cfg(feature = "redis")]
    pub(crate) fn with_limit_of(&self, quota: Quota) -> Self {
        Self { quota, ..*self }
    }

    /// The window's view of time and its lag, in microseconds. The view is never before the last
    /// charge; the lag is how far real time is behind the view. After a step back of more than one
    /// window the lag is zero: the last charge counts as made now.
    pub(super) fn view(&self, state: &SlidingWindowState, now: Timestamp) -> (u64, u64) {
        let now = now.as_micros();
        let last = state.segments.back().map_or(now, |newest| newest.last.max(now));
        (last, if last - now > self.quota.period_micros() { 0 } else { last - now })
    }

    /// Applies the clock's step back to the state, so that the view equals real time again.
    fn follow_clock(&self, state: &mut SlidingWindowState, now: Timestamp) {
        let (view, lag) = self.view(state, now);
        let step = view - now.as_micros() - lag;
        if step > 0 {
            state.begun = state.begun.saturating_sub(step);
            for segment in &mut state.segments {
                segment.last = segment.last.saturating_sub(step);
            }
        }
    }

    fn has_left(&self, segment: Segment, view: u64) -> bool {
        view.saturating_sub(segment.last) >= self.quota.period_micros()
    }

    /// Time after `view` at which a segment expires, in microseconds.
    fn leaves_in(&self, segment: Segment, view: u64) -> u64 {
        self.quota.period_micros().saturating_sub(view.saturating_sub(segment.last))
    }

    /// Amount in use at `view`, and the index of the first segment that still counts.
    fn live(&self, state: &SlidingWindowState, view: u64) -> (u64, usize) {
        let mut used = state.used;
        for (index, segment) in state.segments.iter().enumerate() {
            if !self.has_left(*segment, view) {
                return (used, index);
            }
            used -= segment.used;
        }
        (0, state.segments.len())
    }

    pub(super) fn decide(&self, state: &SlidingWindowState, now: Timestamp, cost: u64) -> Decision {
        let (quota, limit) = (self.quota, self.quota.limit());
        let (view, lag) = self.view(state, now);
        let (used, first) = self.live(state, view);
        // The usage can exceed the limit after the limit was lowered.
        let remaining = limit.saturating_sub(used);
        let wait = |segment: &Segment| Duration::from_micros(self.leaves_in(*segment, view) + lag);
        let reset_after = if used == 0 { Duration::ZERO } else { state.segments.back().map_or(Duration::ZERO, wait) };
        if cost <= remaining {
            return Decision::Allowed(Allowance { quota, limit, remaining, reset_after, delay: Duration::ZERO });
        }
        let mut left = used;
        let retry_after = state
            .segments
            .range(first..)
            .find(|segment| {
                left -= segment.used;
                left <= limit - cost
            })
            .map_or(reset_after, wait);
        Decision::Denied(Denial { quota, limit, remaining, reset_after, retry_after, blocked_for: None })
    }

    /// Updates the state to `now`: removes expired segments. Returns the window's view of time.
    pub(super) fn settle(&self, state: &mut SlidingWindowState, now: Timestamp) -> u64 {
        self.follow_clock(state, now);
        let (view, _) = self.view(state, now);
        while let Some(oldest) = state.segments.front().filter(|oldest| self.has_left(**oldest, view)) {
            state.used -= oldest.used;
            state.segments.pop_front();
        }
        view
    }

    pub(super) fn charge(&self, state: &mut SlidingWindowState, view: u64, cost: u64) {
        match state.segments.back_mut() {
            Some(newest) if view - state.begun < self.segment => {
                newest.last = view;
                newest.used += cost;
            }
            _ => {
                state.segments.push_back(Segment { last: view, used: cost });
                state.begun = view;
            }
        }
        state.used += cost;
    }
}

impl Algorithm for SlidingWindow {
    type State = SlidingWindowState;

    fn name(&self) -> &'static str {
        "sliding_window"
    }

    fn quota(&self) -> Quota {
        self.quota
    }

    fn with_quota(&self, quota: Quota) -> Result<Self, QuotaError> {
        quota.ensure_no_burst()?;
        Ok(Self::cut(quota, self.segments))
    }

    fn carry_over(&self, before: &Self, state: &mut SlidingWindowState, now: Timestamp) {
        before.settle(state, now);
    }

    fn capacity(&self) -> u64 {
        self.quota.limit()
    }

    fn initial(&self, _now: Timestamp) -> SlidingWindowState {
        SlidingWindowState::default()
    }

    fn check(&self, state: &mut SlidingWindowState, now: Timestamp, cost: u64) -> Result<Decision, CheckError> {
        ensure_fits(cost, self.capacity())?;
        let view = self.settle(state, now);
        let decision = self.decide(state, now, cost);
        Ok(match decision {
            Decision::Allowed(_) if cost > 0 => {
                self.charge(state, view, cost);
                self.decide(state, now, 0)
            }
            _ => decision,
        })
    }

    fn peek(&self, state: &SlidingWindowState, now: Timestamp, cost: u64) -> Result<Decision, CheckError> {
        ensure_fits(cost, self.capacity())?;
        Ok(self.decide(state, now, cost))
    }

    fn penalty(&self, state: &mut SlidingWindowState, now: Timestamp, cost: u64) {
        let view = self.settle(state, now);
        let cost = cost.min(most_charged(self.capacity()).saturating_sub(state.used));
        if cost > 0 {
            self.charge(state, view, cost);
        }
    }

    fn reward(&self, state: &mut SlidingWindowState, now: Timestamp, amount: u64) {
        self.settle(state, now);
        let mut left = amount.min(state.used);
        state.used -= left;
        while let Some(newest) = state.segments.back_mut().filter(|_| left > 0) {
            let taken = left.min(newest.used);
            newest.used -= taken;
            left -= taken;
            if newest.used == 0 {
                state.segments.pop_back();
                // The start of this segment is not stored. The next charge begins a new one.
                state.begun = 0;
            }
        }
    }

    fn charged(&self, state: &SlidingWindowState, now: Timestamp) -> u64 {
        let (view, _) = self.view(state, now);
        self.live(state, view).0
    }

    fn expires_at(&self, state: &SlidingWindowState) -> Timestamp {
        let last = state.segments.back().map_or(0, |newest| newest.last.saturating_add(self.quota.period_micros()));
        Timestamp::from_micros(last)
    }
}
