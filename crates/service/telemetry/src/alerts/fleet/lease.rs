//! The lease of the process that sends the fleet's alerts: a row that its holder updates regularly,
//! and that another process takes when it was not updated.
//!
//! Each process measures with its own monotonic clock for how long the row has not changed. So
//! clocks of two machines are never compared, and setting a clock has no effect.

use std::time::Duration;

use tidegate_store::AlertSender;

/// How often the holder updates the row.
const RENEW: Duration = Duration::from_secs(5);
/// A row that has not changed for this long has no holder any more.
const LASTS: Duration = Duration::from_secs(15);
/// How long the holder trusts its lease. This is less than other processes wait.
pub(super) const BELIEVES: Duration = Duration::from_secs(12);
/// If the row was not read for longer than this, it may have changed in between.
const GAP: Duration = Duration::from_secs(12);

/// The next step of a process that has read the row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Claim {
    /// Another process sends.
    Leave,
    /// No process sends: take the row.
    Take,
    /// This process sends, and has to update the row now.
    Renew,
    /// This process sends.
    Hold,
}

/// The lease as one process sees it. Times are since the start of the process.
#[derive(Debug)]
pub(super) struct Lease {
    process: String,
    renewed_at: Option<Duration>,
    /// The turn of a row that another process holds, and when it was first seen.
    seen: Option<(i64, Duration)>,
    looked_at: Option<Duration>,
}

impl Lease {
    pub(super) fn new(process: &str) -> Self {
        Self { process: process.to_owned(), renewed_at: None, seen: None, looked_at: None }
    }

    /// Processes the current row.
    pub(super) fn look(&mut self, row: &AlertSender, now: Duration) -> Claim {
        let was_absent = self.looked_at.replace(now).is_none_or(|before| now.saturating_sub(before) > GAP);
        if row.holder == self.process {
            self.seen = None;
            return match self.renewed_at {
                Some(at) if now.saturating_sub(at) < RENEW => Claim::Hold,
                Some(_) => Claim::Renew,
                // It was taken, but the answer was lost.
                None => Claim::Take,
            };
        }
        self.renewed_at = None;
        if row.holder.is_empty() {
            return Claim::Take;
        }
        match self.seen {
            Some((turn, since)) if turn == row.turn && !was_absent => {
                if now.saturating_sub(since) >= LASTS {
                    Claim::Take
                } else {
                    Claim::Leave
                }
            }
            _ => {
                self.seen = Some((row.turn, now));
                Claim::Leave
            }
        }
    }

    /// Records that this process has taken or updated the row.
    pub(super) fn renewed(&mut self, now: Duration) {
        self.renewed_at = Some(now);
    }

    /// Records that another process has the row, or that its holder is unknown.
    pub(super) fn lost(&mut self) {
        self.renewed_at = None;
    }

    /// Whether this process may send.
    pub(super) fn is_held(&self, now: Duration) -> bool {
        self.renewed_at.is_some_and(|at| now.saturating_sub(at) < BELIEVES)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(holder: &str, turn: i64) -> AlertSender {
        AlertSender { holder: holder.to_owned(), name: holder.to_owned(), turn, notices: 0 }
    }

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_free_row_is_taken_and_moved_every_five_seconds() {
        let mut lease = Lease::new("a");
        assert_eq!(lease.look(&row("", 0), at(0)), Claim::Take);
        assert!(!lease.is_held(at(0)), "it has to be won first");
        lease.renewed(at(0));
        assert_eq!(lease.look(&row("a", 1), at(4)), Claim::Hold);
        assert_eq!(lease.look(&row("a", 1), at(5)), Claim::Renew);
        lease.renewed(at(5));
        assert_eq!(lease.look(&row("a", 2), at(6)), Claim::Hold);
    }

    #[test]
    fn a_row_that_stands_still_is_taken_after_fifteen_seconds_and_one_that_moves_never() {
        let mut lease = Lease::new("b");
        for second in (0..100).step_by(5) {
            let turn = i64::try_from(second / 10).unwrap();
            assert_eq!(lease.look(&row("a", turn), at(second)), Claim::Leave, "it moves every ten seconds");
        }
        assert_eq!(lease.look(&row("a", 9), at(104)), Claim::Leave);
        assert_eq!(lease.look(&row("a", 9), at(105)), Claim::Take, "15 s after it was first seen so, at 90 s");
    }

    #[test]
    fn a_process_that_did_not_look_for_long_waits_anew() {
        let mut lease = Lease::new("b");
        assert_eq!(lease.look(&row("a", 1), at(0)), Claim::Leave);
        assert_eq!(lease.look(&row("a", 1), at(60)), Claim::Leave, "the database may have been away");
        assert_eq!(lease.look(&row("a", 1), at(70)), Claim::Leave);
        assert_eq!(lease.look(&row("a", 1), at(75)), Claim::Take);
    }

    #[test]
    fn the_holder_stops_sending_before_others_begin() {
        let mut lease = Lease::new("a");
        lease.renewed(at(0));
        assert!(lease.is_held(at(11)) && !lease.is_held(at(12)));
        assert!(BELIEVES < LASTS);
        assert_eq!(lease.look(&row("b", 7), at(13)), Claim::Leave);
        assert!(!lease.is_held(at(13)));
        // An answer was lost: the row shows that this process has it.
        assert_eq!(lease.look(&row("a", 8), at(14)), Claim::Take);
    }
}
