//! Fetches whose reply was lost.
//!
//! Such a fetch may have leased jobs that its worker does not know of. So each fetch has a number,
//! which is stored with its leases. The next fetch of the same worker names the lost ones and
//! receives their jobs. The server has to search all leases for them. So a lost fetch is named by
//! one fetch at a time, until all its jobs were received. It is named once more when it can no
//! longer be in transit.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::id::WorkerId;

/// How long a lost request may still reach the server after a later one was answered: the later one
/// may have overtaken it on another connection.
const MAY_BE_LATE: Duration = Duration::from_secs(5);
/// Most lost requests kept of one worker. Nothing is sent while Redis is unreachable, so there are
/// few.
const MOST_LOST: usize = 64;

/// The open requests of one partition, by worker.
#[derive(Default)]
pub(super) struct Requests {
    next: AtomicU64,
    open: Mutex<HashMap<WorkerId, Vec<OpenRequest>>>,
}

struct OpenRequest {
    number: u64,
    state: RequestState,
    /// The request in progress that names it.
    named_in: Option<u64>,
}

#[derive(Clone, Copy)]
enum RequestState {
    InProgress,
    Lost,
    /// Lost, and all jobs that it had leased by then were received.
    Recovered(Instant),
}

impl OpenRequest {
    fn is_in_progress(&self) -> bool {
        matches!(self.state, RequestState::InProgress)
    }

    fn is_to_be_named(&self, late: Duration) -> bool {
        self.named_in.is_none()
            && match self.state {
                RequestState::InProgress => false,
                RequestState::Lost => true,
                RequestState::Recovered(at) => at.elapsed() >= late,
            }
    }
}

impl Requests {
    fn lock(&self) -> MutexGuard<'_, HashMap<WorkerId, Vec<OpenRequest>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts a request. It counts as lost until it is reported otherwise, also if its caller is
    /// cancelled. A request that `wants` no jobs names no lost ones.
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
        of_worker.push(OpenRequest { number, state: RequestState::InProgress, named_in: None });
        Request { requests: self, worker: worker.clone(), number, lost, ends: Ends::Lost }
    }
}

/// How a request ends when it is dropped.
#[derive(Clone, Copy, PartialEq)]
enum Ends {
    Lost,
    /// Answered, but possibly without all jobs of the lost requests that it named.
    AnsweredInPart,
    Answered,
    NotSent,
}

/// A request in progress.
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

    /// The reply arrived, and its jobs are passed to the worker. `was_all`: including all jobs of
    /// the named lost requests.
    pub(super) fn answered(mut self, was_all: bool) {
        self.ends = if was_all { Ends::Answered } else { Ends::AnsweredInPart };
    }

    /// The request never reached the server, or the server refused it.
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
                open.state = RequestState::Lost;
                return ends == Ends::Lost;
            }
            if open.named_in == Some(number) {
                open.named_in = None;
                match open.state {
                    RequestState::Lost if ends == Ends::Answered => {
                        open.state = RequestState::Recovered(Instant::now());
                    }
                    // It was named for the second time.
                    RequestState::Recovered(_) => return ends != Ends::Answered,
                    _ => {}
                }
            }
            true
        });
        if open.iter().filter(|open| !open.is_in_progress()).count() > MOST_LOST
            && let Some(oldest) = open.iter().position(|open| !open.is_in_progress())
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
    fn a_dropped_request_is_named_and_one_in_progress_is_not() {
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
    fn a_lost_request_is_named_until_handed_over_and_once_more_after_its_delay() {
        let (requests, worker) = (Requests::default(), WorkerId::generate());
        drop(begin(&requests, &worker));
        for was_all in [false, true] {
            let next = begin(&requests, &worker);
            assert_eq!(next.lost(), [1]);
            next.answered(was_all);
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
    fn one_request_at_a_time_names_a_lost_one() {
        let (requests, worker) = (Requests::default(), WorkerId::generate());
        drop(begin(&requests, &worker));
        let no_jobs = requests.begin(&worker, false);
        assert!(no_jobs.lost().is_empty());
        let next = begin(&requests, &worker);
        assert_eq!(next.lost(), [1]);
        assert!(begin(&requests, &worker).lost().is_empty(), "beside it");
        drop(next);
        let next = begin(&requests, &worker);
        assert!(next.lost().starts_with(&[1]) && next.lost().contains(&3), "{:?}", next.lost());
    }

    #[test]
    fn answered_requests_are_forgotten() {
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
