//! Fetches whose reply never came.
//!
//! Such a fetch may have leased jobs of which its worker knows nothing. So each fetch has a number, which is kept with the
//! leases that it gave; the next fetch of that worker names the lost ones, and is handed what they gave. To look for that
//! takes the server through all leases: so a lost one is named until all that it gave was handed over, by one fetch at a
//! time, and once more when it can no longer be on its way.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::clock::Monotonic;
use crate::id::WorkerId;

/// For how long a lost request may still reach the server after a later one was answered: it may have been overtaken on its
/// way, by another connection.
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
    /// The request under way that asks for it.
    named_in: Option<u64>,
}

#[derive(Clone, Copy)]
enum Stands {
    UnderWay,
    Lost,
    /// Lost, and all that it had given by then was handed over.
    AskedFor(Monotonic),
}

impl Open {
    fn is_under_way(&self) -> bool {
        matches!(self.stands, Stands::UnderWay)
    }

    fn is_to_be_named(&self, late: Duration) -> bool {
        self.named_in.is_none()
            && match self.stands {
                Stands::UnderWay => false,
                Stands::Lost => true,
                Stands::AskedFor(at) => at.elapsed() >= late,
            }
    }
}

impl Requests {
    fn lock(&self) -> MutexGuard<'_, HashMap<WorkerId, Vec<Open>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins a request. It counts as lost until it is told otherwise, also if its caller stops waiting. One that `wants` no
    /// jobs asks for none.
    pub(super) fn begin(&self, worker: &WorkerId, wants: bool) -> Request<'_> {
        self.begin_after(worker, wants, MAY_BE_LATE)
    }

    fn begin_after(&self, worker: &WorkerId, wants: bool, late: Duration) -> Request<'_> {
        let number = self.next.fetch_add(1, Ordering::Relaxed) + 1;
        let mut open = self.lock();
        let of_worker = open.entry(worker.clone()).or_default();
        let mut lost = Vec::new();
        for open in of_worker.iter_mut().filter(|open| wants && open.is_to_be_named(late)) {
            open.named_in = Some(number);
            lost.push(open.number);
        }
        of_worker.push(Open { number, stands: Stands::UnderWay, named_in: None });
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

    /// The reply came, and its jobs are on their way to the worker. `was_all`: with all that lost ones had given.
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
        let (number, ends) = (self.number, self.ends);
        open.retain_mut(|open| {
            if open.number == number {
                open.stands = Stands::Lost;
                return ends == Ends::Lost;
            }
            if open.named_in == Some(number) {
                open.named_in = None;
                match open.stands {
                    Stands::Lost if ends == Ends::Answered => open.stands = Stands::AskedFor(Monotonic::now()),
                    // That was the second time.
                    Stands::AskedFor(_) => return ends != Ends::Answered,
                    _ => {}
                }
            }
            true
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

    fn begin<'a>(requests: &'a Requests, worker: &WorkerId) -> Request<'a> {
        requests.begin(worker, true)
    }

    #[test]
    fn a_dropped_request_is_asked_for_and_one_under_way_is_not() {
        let (requests, worker) = (Requests::default(), WorkerId::generate());
        let (first, second) = (begin(&requests, &worker), begin(&requests, &worker));
        assert!(second.lost().is_empty());
        drop(first);
        second.answered(true);
        let third = begin(&requests, &worker);
        assert_eq!((third.number(), third.lost()), (3, &[1][..]));
        third.not_sent();
        assert!(begin(&requests, &WorkerId::generate()).lost().is_empty());
    }

    #[test]
    fn a_lost_request_is_named_until_all_is_handed_over_and_once_more_when_it_can_no_longer_be_late() {
        let (requests, worker) = (Requests::default(), WorkerId::generate());
        drop(begin(&requests, &worker));
        for was_all in [false, true] {
            let asks = begin(&requests, &worker);
            assert_eq!(asks.lost(), [1]);
            asks.answered(was_all);
        }
        for _ in 0..10 {
            let next = begin(&requests, &worker);
            assert!(next.lost().is_empty());
            next.answered(true);
        }
        for was_all in [false, true] {
            let again = requests.begin_after(&worker, true, Duration::ZERO);
            assert_eq!(again.lost(), [1]);
            again.answered(was_all);
        }
        assert!(requests.lock().is_empty());
    }

    #[test]
    fn one_request_at_a_time_asks_for_a_lost_one() {
        let (requests, worker) = (Requests::default(), WorkerId::generate());
        drop(begin(&requests, &worker));
        let no_jobs = requests.begin(&worker, false);
        assert!(no_jobs.lost().is_empty());
        let asks = begin(&requests, &worker);
        assert_eq!(asks.lost(), [1]);
        assert!(begin(&requests, &worker).lost().is_empty(), "beside it");
        drop(asks);
        let asks = begin(&requests, &worker);
        assert!(asks.lost().starts_with(&[1]) && asks.lost().contains(&3), "{:?}", asks.lost());
    }

    #[test]
    fn what_was_answered_leaves_nothing_behind() {
        let (requests, worker) = (Requests::default(), WorkerId::generate());
        begin(&requests, &worker).answered(true);
        begin(&requests, &worker).not_sent();
        assert!(requests.lock().is_empty());
    }

    #[test]
    fn lost_requests_are_bounded() {
        let (requests, worker) = (Requests::default(), WorkerId::generate());
        for _ in 0..1_000 {
            drop(begin(&requests, &worker));
        }
        assert_eq!(begin(&requests, &worker).lost().len(), MOST_LOST);
    }
}
