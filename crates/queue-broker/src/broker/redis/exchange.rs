//! The most frequent step: settle done jobs and fetch new ones.

use tidegate_redis::{Arg, Error};

use super::broker::RedisBroker;
use super::envelope::milliseconds;
use super::queue::Partition;
use super::reply::{Fields, Unreadable, failed, leased_job, settled, token_text, unreadable};
use super::requests::Request;
use crate::broker::Fetch;
use crate::error::BrokerError;
use crate::id::WorkerId;
use crate::lease::{Ack, LeasedJob, Settled};

const EXCHANGE: &str = "acknowledge and fetch";

/// Most done jobs of one fetch that are sent in one group.
const LONGEST_RUN: usize = 500;
/// The result of most jobs, which is not stored.
const NO_RESULT: &str = "null";

/// Answer of one partition.
struct Answer {
    settled: Vec<Settled>,
    leased: Vec<LeasedJob>,
    /// Whether the jobs of earlier lost replies are included completely.
    is_handed_over: bool,
    /// Whether the server is full and leases no more jobs.
    is_kept_back: bool,
}

/// Running jobs have added too much to a full server. They continue when there is memory again.
#[derive(Debug, thiserror::Error)]
#[error(
    "Redis is at maxmemory, and the jobs that ended since have added 5 %: no more jobs are given out until dead or done \
     jobs are removed, or maxmemory is raised"
)]
struct KeptBack;

impl RedisBroker {
    pub(super) async fn exchange(
        &self,
        name: &str,
        acks: Vec<Ack>,
        fetch: Fetch,
    ) -> Result<(Vec<Settled>, Vec<LeasedJob>), BrokerError> {
        let queue = self.queue_to_lease(name).await?;
        let mut all_settled = vec![None; acks.len()];
        let mut all_leased: Vec<LeasedJob> = Vec::new();
        let mut acks = queue.by_partition(acks, |ack| &ack.token.id);
        // Kept to the end: if another partition fails the call, the jobs of this reply are lost.
        let mut answered: Vec<(Request<'_>, bool)> = Vec::new();
        let (mut failure, mut kept_back) = (None, false);
        for nth in queue.in_turn() {
            let mut acks = std::mem::take(&mut acks[nth]);
            let wanted = fetch.max - all_leased.len().min(fetch.max);
            if acks.is_empty() && wanted == 0 {
                continue;
            }
            let request = queue.partitions[nth].requests.begin(&fetch.worker, wanted > 0);
            match self.call(&queue.partitions[nth], &mut acks, &fetch, wanted, &request).await {
                Ok(answer) => {
                    kept_back |= answer.is_kept_back;
                    for ((position, _), settled) in acks.iter().zip(answer.settled) {
                        all_settled[*position] = Some(settled);
                    }
                    answered.push((request, answer.is_handed_over));
                    if all_leased.is_empty() {
                        all_leased = answer.leased;
                    } else {
                        all_leased.extend(answer.leased);
                    }
                }
                Err(Failed { error, may_have_run }) => {
                    if !may_have_run {
                        request.not_sent();
                    }
                    // The partitions that answer continue.
                    failure = Some(error);
                }
            }
        }
        if let (Some(error), true) = (failure, answered.is_empty()) {
            return Err(error);
        }
        for (request, was_all) in answered {
            request.answered(was_all);
        }
        if kept_back && all_settled.is_empty() && all_leased.is_empty() {
            return Err(BrokerError::Full { operation: EXCHANGE, source: Box::new(KeptBack) });
        }
        let all_settled = all_settled.into_iter().map(|settled| settled.unwrap_or(Settled::Unanswered));
        Ok((all_settled.collect(), all_leased))
    }

    /// Sorts `acks` into the order of the answers.
    async fn call(
        &self,
        partition: &Partition,
        acks: &mut [(usize, Ack)],
        fetch: &Fetch,
        wanted: usize,
        request: &Request<'_>,
    ) -> Result<Answer, Failed> {
        let args = || {
            let mut args: Vec<Arg> = Vec::with_capacity(9 + request.lost().len() + acks.len() * 2);
            args.extend([
                fetch.worker.as_str().into(),
                wanted.into(),
                milliseconds(fetch.lease).into(),
                request.number().into(),
                request.lost().len().into(),
            ]);
            args.extend(request.lost().iter().map(|number| Arg::from(*number)));
            push_runs(&mut args, acks);
            args
        };
        let reply = self.scripts.ack_and_fetch.run_even_full(&self.client, &partition.keys, args).await?;
        let answer = || {
            let mut reply = Fields::of(reply)?;
            let now = reply.time()?;
            let token = reply.text()?;
            let nonce = token.split_once(' ').ok_or("a token without a nonce")?.1;
            let nonce = WorkerId::from_stored(nonce);
            let settled = match reply.text_if_any()? {
                None => vec![Settled::Now; acks.len()],
                Some(digits) => settled(&digits)?,
            };
            let mut jobs = Fields::of(reply.value())?;
            let mut leased = Vec::with_capacity(jobs.len() / 2);
            while !jobs.is_empty() {
                leased.extend(leased_job(&mut jobs, &nonce, now)?);
            }
            let (is_handed_over, is_kept_back) = (!reply.value().is_nil(), !reply.value().is_nil());
            Ok(Answer { settled, leased, is_handed_over, is_kept_back })
        };
        answer().map_err(|error: Unreadable| Failed { error: unreadable(EXCHANGE)(error), may_have_run: true })
    }
}

/// Groups done jobs of one fetch by the common part of their tokens.
fn push_runs(args: &mut Vec<Arg>, acks: &mut [(usize, Ack)]) {
    let has_result = |ack: &Ack| ack.result != NO_RESULT;
    let of_run = |a: &Ack, b: &Ack| {
        let (left, right) = (&a.token, &b.token);
        left.nonce
            .as_str()
            .cmp(right.nonce.as_str())
            .then(left.delivery.cmp(&right.delivery))
            .then(has_result(a).cmp(&has_result(b)))
    };
    acks.sort_by(|(_, a), (_, b)| of_run(a, b));
    for run in acks.chunk_by(|(_, a), (_, b)| of_run(a, b).is_eq()) {
        for run in run.chunks(LONGEST_RUN) {
            let Some((_, first)) = run.first() else { continue };
            let with_results = has_result(first);
            args.extend([token_text(&first.token).into(), run.len().into(), u32::from(with_results).into()]);
            for (_, Ack { token, result }) in run {
                args.push(token.id.as_str().into());
                if with_results {
                    args.push(result.as_str().into());
                }
            }
        }
    }
}

struct Failed {
    error: BrokerError,
    may_have_run: bool,
}

impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        Self { may_have_run: error.may_have_run(), error: failed(EXCHANGE)(error) }
    }
}
