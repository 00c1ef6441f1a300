//! Fetches whose reply never came.
//!
//! Such a fetch may have leased jobs of which its worker knows nothing. So each fetch has a number, which is kept with the
//! leases that it gave; the next fetch of that worker names the lost ones, and is handed what they gave.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::clock::Monotonic;
use crate::id::WorkerId;

/// For how long a lost request is still asked for after the server answered a later one: it may have been overtaken on
/// its way, by another connection.
const MAY_BE_LATE: Duration = Duration::from_secs(5);
/// Lost requests remembered of one worker. While Redis is away nothing is sent, so there are few.
const MOST_LOST: usize = 64;

/// The open requests of one partition, by worker.
#[derive(Default)]
pub(super) struct Requests {
    next: AtomicU64,
    open: Mutex<HashMap<WorkerId, Vec<Open>>>,
}

struct Open {
    number: u64,
    stands: Stands,
}

#[derive(Clone, Copy)]
enum Stands {
    UnderWay,
    Lost,
    /// Lost, and asked for since.
    AskedFor(Monotonic),
}

impl Open {
    fn is_under_way(&self) -> bool {
        matches!(self.stands, Stands::UnderWay)
    }
}

impl Requests {
    fn lock(&self) -> MutexGuard<'_, HashMap<WorkerId, Vec<Open>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins a request. It counts as lost until it is told otherwise, also if its caller stops waiting.
    pub(super) fn begin(&self, worker: &WorkerId) -> Request<'_> {
        let number = self.next.fetch_add(1, Ordering::Relaxed) + 1;
        let mut open = self.lock();
        let of_worker = open.entry(worker.clone()).or_default();
        let lost = of_worker.iter().filter(|open| !open.is_under_way()).map(|open| open.number).collect();
        of_worker.push(Open { number, stands: Stands::UnderWay });
        Request { requests: self, worker: worker.clone(), number, lost, ends: Ends::Lost }
    }
}

/// How a request ends when it is dropped.
#[derive(Clone, Copy, PartialEq)]
enum Ends {
    Lost,
    /// What it asked for of lost ones may not have been all.
    AnsweredInPart,
    Answered,
    NotSent,
}

/// A request under way.
pub(super) struct Request<'a> {
    requests: &'a Requests,
    worker: WorkerId,
    number: u64,
    lost: Vec<u64>,
    ends: Ends,
}

impl Request<'_> {
    pub(super) fn number(&self) -> u64 {
        self.number
    }

    /// Earlier requests of the same worker whose reply was lost.
    pub(super) fn lost(&self) -> &[u64] {
        &self.lost
    }

    /// The reply came, and its jobs are on their way to the worker. `was_all`: there was nothing more to give.
    pub(super) fn answered(mut self, was_all: bool) {
        self.ends = if was_all { Ends::Answered } else { Ends::AnsweredInPart };
    }

    /// It never reached the server, or the server refused it.
    pub(super) fn not_sent(mut self) {
        self.ends = Ends::NotSent;
    }
}

impl Drop for Request<'_> {
    fn drop(&mut self) {
        let mut all = self.requests.lock();
        let Some(open) = all.get_mut(&self.worker) else { return };
        if self.ends == Ends::Answered {
            for other in open.iter_mut().filter(|other| self.lost.contains(&other.number)) {
                if let Stands::Lost = other.stands {
                    other.stands = Stands::AskedFor(Monotonic::now());
                }
            }
        }
        let (number, ends) = (self.number, self.ends);
        open.retain_mut(|open| match open.stands {
            _ if open.number == number => {
                open.stands = Stands::Lost;
                ends == Ends::Lost
            }
            Stands::AskedFor(at) => at.elapsed() < MAY_BE_LATE,
            _ => true,
        });
        if open.iter().filter(|open| !open.is_under_way()).count() > MOST_LOST
            && let Some(oldest) = open.iter().position(|open| !open.is_under_way())
        {
            open.remove(oldest);
        }
        if open.is_empty() {
            all.remove(&self.worker);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dropped_request_is_asked_for_and_one_under_way_is_not() {
        let (requests, worker) = (Requests::default(), WorkerId::generate());
        let (first, second) = (requests.begin(&worker), requests.begin(&worker));
        assert!(second.lost().is_empty());
        drop(first);
        second.answered(true);
        let third = requests.begin(&worker);
        assert_eq!((third.number(), third.lost()), (3, &[1][..]));
        third.not_sent();
        assert!(requests.begin(&WorkerId::generate()).lost().is_empty());
    }

    #[test]
    fn a_lost_request_is_asked_for_until_an_answer_had_nothing_more_to_give() {
        let (requests, worker) = (Requests::default(), WorkerId::generate());
        drop(requests.begin(&worker));
        let stands = || requests.lock()[&worker][0].stands;
        requests.begin(&worker).answered(false);
        assert!(matches!(stands(), Stands::Lost));
        requests.begin(&worker).answered(true);
        assert!(matches!(stands(), Stands::AskedFor(_)));
    }

    #[test]
    fn what_was_answered_leaves_nothing_behind() {
        let (requests, worker) = (Requests::default(), WorkerId::generate());
        requests.begin(&worker).answered(true);
        requests.begin(&worker).not_sent();
        assert!(requests.lock().is_empty());
    }

    #[test]
    fn lost_requests_are_bounded() {
        let (requests, worker) = (Requests::default(), WorkerId::generate());
        for _ in 0..1_000 {
            drop(requests.begin(&worker));
        }
        assert_eq!(requests.begin(&worker).lost().len(), MOST_LOST);
    }
}
