//! State of L1 for one key.

use std::any::Any;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use crate::class_id::ClassId;
use crate::dice::Dice;
use crate::fence::{Fence, Stamps};
use crate::generation::Generation;
use crate::l2::EntryId;
use crate::moment::{Moment, ShortSpan, Span};

/// A value of any type.
pub type Anything = Arc<dyn Any + Send + Sync>;

/// Number of load times before its end from which an entry may be refreshed at random. Draws above
/// this come once in nine million.
const EAGER_WINDOW: u32 = 16;

/// Replaces the start of refresh-ahead: a value that was expired by hand is no longer fresh.
const EXPIRED: Moment = Moment::START;

/// Divides a sliding entry's idle time: only reads after such a part extend it, so few write.
const SLIDE_STEPS: u32 = 16;

/// A value and the state that decides whether it may be served. A copy costs two counts.
#[derive(Debug, Clone)]
pub struct Slot {
    pub value: Anything,
    terms: Arc<Terms>,
}

/// State that decides whether a value may be served, and other metadata of it.
#[derive(Debug, Clone)]
pub struct Terms {
    pub stamps: Stamps,
    /// Start of its load in the order of invalidations.
    pub(crate) since: Generation,
    pub times: Times,
    pub class: ClassId,
    pub weight: u64,
    /// The entry in L2 that holds the same value.
    pub shared: Option<EntryId>,
}

impl Deref for Slot {
    type Target = Terms;

    fn deref(&self) -> &Terms {
        &self.terms
    }
}

/// Times that decide how a slot may be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Times {
    /// Until then a hit needs no full check; never later than `fresh_until`.
    calm_until: Moment,
    fresh_until: Moment,
    stale_until: Moment,
    /// End of its fresh life, however often it is read and whichever tier holds it.
    ends: Moment,
    /// Moment from which a read reloads it, although it is fresh; `NEVER` without refresh-ahead.
    ahead_from: Moment,
    /// Until then it is not reloaded: a load is in progress, or failed a moment ago.
    quiet_until: Moment,
    /// How long it lives unread; zero if reads do not extend its life.
    idle: Span,
    /// Duration of a load, times the class's eagerness; zero if early refreshes are off.
    eager: ShortSpan,
}

/// Times of a hit that needs no full check.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Calm {
    until: Moment,
    fresh_until: Moment,
}

impl Calm {
    /// Time for which it is still fresh; `None` if a full check is due.
    #[inline]
    pub(crate) fn left(self, now: Moment) -> Option<Duration> {
        (now < self.until).then(|| self.fresh_until.since(now))
    }
}

/// Values that decide the times of a slot.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Lifetime {
    /// Time for which L1 serves it as fresh.
    pub(crate) fresh: Duration,
    /// Total time of freshness. Longer than `fresh` above L2 and for sliding entries.
    pub(crate) whole: Duration,
    pub(crate) grace: Duration,
    pub(crate) ahead: Duration,
    pub(crate) idle: Duration,
    pub(crate) eager: Duration,
}

impl Times {
    pub(crate) fn new(now: Moment, lifetime: &Lifetime) -> Self {
        let Lifetime { fresh, whole, grace, ahead, idle, eager } = *lifetime;
        let (fresh_until, ends) = (now.after(fresh), now.after(whole));
        let ahead_from = if ahead.is_zero() { Moment::NEVER } else { ends.before(ahead.min(whole / 2)) };
        let mut times = Self {
            calm_until: now,
            fresh_until,
            stale_until: fresh_until.after(grace),
            ends,
            ahead_from,
            quiet_until: Moment::default(),
            idle: idle.into(),
            eager: eager.into(),
        };
        times.rest(now);
        times
    }

    /// Times of a value past its lifetime, served for `left` while its load is in progress.
    pub(crate) fn stale(now: Moment, left: Duration, quiet_until: Moment) -> Self {
        let zero = Duration::ZERO;
        let lifetime = Lifetime { fresh: zero, whole: zero, grace: left, ahead: zero, idle: zero, eager: zero };
        Self { quiet_until, ..Self::new(now, &lifetime) }
    }

    /// Finds the next moment that needs a full check.
    fn rest(&mut self, now: Moment) {
        let eager_from =
            if self.eager.is_zero() { Moment::NEVER } else { self.ends.before(self.eager() * EAGER_WINDOW) };
        let refresh_from = self.ahead_from.min(eager_from).max(self.quiet_until);
        let slide_from = if self.slides() { now.after(self.idle() / SLIDE_STEPS) } else { Moment::NEVER };
        self.calm_until = self.fresh_until.min(refresh_from).min(slide_from);
    }

    /// Returns the state that a hit checks.
    pub(crate) fn calm(&self) -> Calm {
        Calm { until: self.calm_until, fresh_until: self.fresh_until }
    }

    fn idle(&self) -> Duration {
        self.idle.into()
    }

    fn eager(&self) -> Duration {
        self.eager.into()
    }

    fn slides(&self) -> bool {
        !self.idle.is_zero() && self.fresh_until < self.ends
    }

    /// Whether a read now extends its life. An entry that was expired by hand is never extended,
    /// even for a reader that took the time before.
    pub(crate) fn may_slide(&self, now: Moment) -> bool {
        !self.is_expired() && self.slides() && now >= self.calm_until && now < self.fresh_until
    }

    /// Counts the idle time from now on.
    pub(crate) fn slide(&mut self, now: Moment) {
        let grace = self.stale_until.since(self.fresh_until);
        self.fresh_until = now.after(self.idle()).min(self.ends).max(self.fresh_until);
        self.stale_until = self.fresh_until.after(grace);
        self.rest(now);
    }

    /// Prevents reloads before `until`.
    pub(crate) fn postpone(&mut self, now: Moment, until: Moment) {
        self.quiet_until = until;
        // The next attempt is settled: the random draw was made.
        if !self.eager.is_zero() {
            self.eager = ShortSpan::default();
            self.ahead_from = self.ahead_from.min(until);
        }
        self.rest(now);
    }

    /// Whether a fresh value should be reloaded now, by the clock or randomly.
    pub(crate) fn is_due(&self, now: Moment, dice: &Dice) -> bool {
        if now < self.quiet_until {
            return false;
        }
        let drawn = || now.after(self.eager().mul_f64(dice.exponential())) >= self.ends;
        now >= self.ahead_from
            || (!self.eager.is_zero() && now.after(self.eager() * EAGER_WINDOW) >= self.ends && drawn())
    }

    /// Whether its fresh life was ended by hand.
    pub(crate) fn is_expired(&self) -> bool {
        self.ahead_from == EXPIRED
    }

    /// Ends its fresh life: the next read loads. Returns whether it was fresh, here or in L2.
    pub(crate) fn expire(&mut self, now: Moment) -> bool {
        let was_fresh = now < self.ends && !self.is_expired();
        if now < self.fresh_until {
            let grace = self.stale_until.since(self.fresh_until);
            (self.fresh_until, self.stale_until) = (now, now.after(grace));
        }
        // `ends` stays: it distinguishes one fill from another.
        (self.ahead_from, self.quiet_until) = (EXPIRED, Moment::default());
        self.rest(now);
        was_fresh
    }

    /// Whether no value is left to serve.
    pub(crate) fn is_over(&self, now: Moment) -> bool {
        now >= self.stale_until
    }

    /// Whether a load of it is in progress, or failed a moment ago.
    pub fn is_quiet(&self, now: Moment) -> bool {
        now < self.quiet_until
    }

    /// Returns how much longer it is fresh.
    pub fn left(&self, now: Moment) -> Duration {
        self.fresh_until.since(now)
    }
}

/// Permitted use of a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Serve it; fresh for this much longer.
    Fresh(Duration),
    /// Serve it; fresh for this much longer. A full check is due, which may be to reload it.
    Waning(Duration),
    /// Serve it and reload it.
    Stale,
    /// Serve it; a load is in progress, or failed a moment ago.
    StaleQuiet,
    /// Not usable.
    Dead,
}

impl Slot {
    pub(crate) fn new(value: Anything, terms: Terms) -> Self {
        Self { value, terms: Arc::new(terms) }
    }

    pub(crate) fn of(value: Anything, terms: Arc<Terms>) -> Self {
        Self { value, terms }
    }

    pub(crate) fn terms(&self) -> &Arc<Terms> {
        &self.terms
    }

    pub fn state(&self, now: Duration, fence: &Fence) -> State {
        let (now, times) = (Moment::from(now), &self.times);
        if !fence.admits(self.class, &self.stamps, self.since) {
            State::Dead
        } else if now < times.calm_until {
            State::Fresh(times.left(now))
        } else if now < times.fresh_until {
            State::Waning(times.left(now))
        } else if times.is_over(now) {
            State::Dead
        } else if now >= times.quiet_until {
            State::Stale
        } else {
            State::StaleQuiet
        }
    }

    /// Whether these terms and its own come from one fill, given that the value is the same. A
    /// value that was found to still hold counts as a new fill.
    pub(crate) fn has_terms_like(&self, terms: &Terms) -> bool {
        self.times.ends == terms.times.ends && self.since == terms.since
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_expired_by_hand_no_longer_slides() {
        let seconds = |count| Moment::START.after(Duration::from_secs(count));
        let (zero, minute) = (Duration::ZERO, Duration::from_secs(60));
        let lifetime =
            Lifetime { fresh: minute, whole: minute * 10, grace: minute, ahead: zero, idle: minute, eager: zero };
        let mut times = Times::new(seconds(100), &lifetime);
        assert!(times.may_slide(seconds(110)));
        assert!(times.expire(seconds(112)));
        // A reader that took the time before, and slides after it.
        assert!(!times.may_slide(seconds(111)));
        assert_eq!(times.left(seconds(112)), zero);
    }
}
