//! One exchange with the broker: sends settlements and fetches jobs.

use std::sync::Arc;

use tokio::time::Instant;

use super::run::{Answer, Settlement};
use super::shared::Shared;
use tidegate_queue_broker::{Ack, BrokerError, Fetch, LeasedJob, Nack, Settled};

/// Content of a request.
#[derive(Default)]
pub(super) struct Batch {
    pub(super) acks: Vec<Settlement>,
    pub(super) nacks: Vec<Settlement>,
    /// Largest number of jobs to fetch.
    pub(super) wanted: usize,
}

/// Result of an exchange.
pub(super) struct Exchanged {
    /// The settlements that were sent, each with the broker's answer. `None` if the broker failed.
    pub(super) answers: Vec<(Settlement, Option<Settled>)>,
    pub(super) leased: Vec<LeasedJob>,
    pub(super) wanted: usize,
    /// When the request was sent. The leases are not older.
    pub(super) sent_at: Instant,
    pub(super) failure: Option<BrokerError>,
}

pub(super) async fn exchange(shared: Arc<Shared>, queue: Arc<str>, batch: Batch) -> Exchanged {
    let Batch { acks, nacks, wanted } = batch;
    let sent_at = Instant::now();
    let (given_back, fetched) = tokio::join!(give_back(&shared, &queue, &nacks), fetch(&shared, &queue, &acks, wanted));
    let mut exchanged = Exchanged {
        answers: Vec::with_capacity(acks.len() + nacks.len()),
        leased: Vec::new(),
        wanted,
        sent_at,
        failure: None,
    };
    let settled = fetched.map(|(settled, leased)| {
        exchanged.leased = leased;
        settled
    });
    exchanged.take(nacks, given_back);
    exchanged.take(acks, settled);
    exchanged
}

impl Exchanged {
    /// The result, or the broker's error if a part of the exchange failed.
    pub(super) fn into_result(mut self) -> Result<Self, BrokerError> {
        self.failure.take().map_or(Ok(self), Err)
    }

    fn take(&mut self, sent: Vec<Settlement>, answers: Result<Vec<Settled>, BrokerError>) {
        match answers {
            Ok(answers) => self.answers.extend(sent.into_iter().zip(answers.into_iter().map(Some))),
            Err(error) => {
                self.answers.extend(sent.into_iter().map(|settlement| (settlement, None)));
                self.failure = Some(error);
            }
        }
    }
}

async fn give_back(shared: &Shared, queue: &str, sent: &[Settlement]) -> Result<Vec<Settled>, BrokerError> {
    if sent.is_empty() {
        return Ok(Vec::new());
    }
    let nacks = sent.iter().filter_map(|Settlement { held, answer, .. }| match answer {
        Answer::Nack(action) => Some(Nack { token: held.token().clone(), action: action.clone() }),
        Answer::Ack(_) => None,
    });
    shared.resources.broker.nack(queue, nacks.collect()).await
}

async fn fetch(
    shared: &Shared,
    queue: &str,
    sent: &[Settlement],
    wanted: usize,
) -> Result<(Vec<Settled>, Vec<LeasedJob>), BrokerError> {
    if sent.is_empty() && wanted == 0 {
        return Ok((Vec::new(), Vec::new()));
    }
    let acks = sent.iter().filter_map(|Settlement { held, answer, .. }| match answer {
        Answer::Ack(result) => Some(Ack { token: held.token().clone(), result: result.clone() }),
        Answer::Nack(_) => None,
    });
    let fetch = Fetch { worker: shared.id.clone(), max: wanted, lease: shared.lease };
    shared.resources.broker.ack_and_fetch(queue, acks.collect(), fetch).await
}
