//! Good and bad, for longer than the windows of latencies reach.

use std::time::Duration;

use crate::outcome::status::StatusClass;
use crate::registry::Registry;
use crate::time::timeline::Timeline;

const MINUTES: usize = 360;
const HOURS: usize = 72;
/// The period that the ring of minutes covers.
pub(super) const MINUTES_REACH: Duration = Duration::from_secs(MINUTES as u64 * 60);
/// The period that the ring of hours covers.
pub(super) const LONGEST: Duration = Duration::from_secs(HOURS as u64 * 3600);

/// How many responses there were, and how many of them were bad.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Outcomes {
    /// All responses.
    pub total: u64,
    /// Responses that count against the objective.
    pub bad: u64,
}

/// Outcomes of the last 6 hours by minute and of the last 3 days by hour, in 10 KiB.
#[derive(Debug)]
pub struct BurnLog {
    timeline: Timeline,
    read: Outcomes,
    minutes: Ring,
    hours: Ring,
}

impl BurnLog {
    /// An empty log that begins at `now`, of what is counted from zero.
    pub fn new(now: Duration) -> Self {
        Self {
            timeline: Timeline::starting_at(now),
            read: Outcomes::default(),
            minutes: Ring::new(60, MINUTES),
            hours: Ring::new(3600, HOURS),
        }
    }

    /// Files the outcomes since the last call. `since_start` are running totals, as of
    /// [`Registry::outcomes`]. Call it every few seconds, or at least once a minute. Totals that
    /// decrease have started again from 0. If the clock goes back, no time passes.
    pub fn record(&mut self, now: Duration, since_start: Outcomes) {
        let elapsed = self.timeline.advance(now);
        let is_anew = since_start.total < self.read.total || since_start.bad < self.read.bad;
        let before = if is_anew { Outcomes::default() } else { self.read };
        self.read = since_start;
        let new = Outcomes { total: since_start.total - before.total, bad: since_start.bad - before.bad };
        self.minutes.add(elapsed, new);
        self.hours.add(elapsed, new);
    }

    /// How long the log has been kept.
    pub fn age(&self) -> Duration {
        self.timeline.elapsed()
    }

    /// Returns the outcomes of a window that ends now. Up to 6 hours these are the running minute
    /// and the whole minutes before it. Beyond that they are hours, up to 3 days.
    pub fn window(&self, window: Duration) -> Outcomes {
        let ring = if window <= MINUTES_REACH { &self.minutes } else { &self.hours };
        ring.recent(self.timeline.elapsed(), window)
    }
}

#[derive(Debug)]
struct Ring {
    unit_secs: u64,
    /// Outcomes of each unit, and its number since the start.
    slots: Box<[(u64, Outcomes)]>,
}

impl Ring {
    /// The given number of whole units, and the running one.
    fn new(unit_secs: u64, length: usize) -> Self {
        Self { unit_secs, slots: vec![(0, Outcomes::default()); length + 1].into_boxed_slice() }
    }

    fn add(&mut self, elapsed: Duration, new: Outcomes) {
        let turn = elapsed.as_secs() / self.unit_secs;
        let length = self.slots.len() as u64;
        #[expect(clippy::cast_possible_truncation, reason = "a remainder of the slice's length")]
        let (held, sum) = &mut self.slots[(turn % length) as usize];
        if *held != turn {
            (*held, *sum) = (turn, Outcomes::default());
        }
        sum.total = sum.total.saturating_add(new.total);
        sum.bad = sum.bad.saturating_add(new.bad);
    }

    fn recent(&self, elapsed: Duration, window: Duration) -> Outcomes {
        let last = elapsed.as_secs() / self.unit_secs;
        let first = last.saturating_sub(window.as_secs() / self.unit_secs);
        let mut sum = Outcomes::default();
        for (_, slot) in self.slots.iter().filter(|(turn, _)| (first..=last).contains(turn)) {
            sum.total = sum.total.saturating_add(slot.total);
            sum.bad = sum.bad.saturating_add(slot.bad);
        }
        sum
    }
}

impl Registry {
    /// Returns all responses since the start of the process, with those that no tick has read yet.
    /// 5xx and failed handlers are bad. Aborted requests are neither good nor bad, and
    /// [unjudged](crate::RegistryBuilder::unjudged) routes are left out. Reads the counters of
    /// every endpoint.
    pub fn outcomes(&self) -> Outcomes {
        let mut sum = Outcomes::default();
        for endpoint in self.judged() {
            let tallies = endpoint.series().tallies();
            sum.total += tallies[..=StatusClass::ServerError as usize].iter().sum::<u64>();
            sum.bad += tallies[StatusClass::ServerError as usize];
        }
        sum
    }
}
