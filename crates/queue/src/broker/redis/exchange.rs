//! The frequent steps: enqueue, and acknowledge and fetch.

use tidegate_redis::{Arg, Error};

use super::RedisBroker;
use super::envelope::{milliseconds, rest, when};
use super::queue::Partition;
use super::reply::{Fields, Unreadable, failed, leased_job, settled, unreadable};
use super::requests::Request;
use crate::broker::{Fetch, NewJob};
use crate::error::BrokerError;
use crate::lease::{Ack, LeasedJob, Settled};

const ENQUEUE: &str = "enqueue";
const EXCHANGE: &str = "acknowledge and fetch";

/// What one partition answered.
struct Answer {
    settled: Vec<Settled>,
    leased: Vec<LeasedJob>,
}

impl RedisBroker {
    pub(super) async fn add(&self, name: &str, jobs: Vec<NewJob>) -> Result<usize, BrokerError> {
        let queue = self.queue_or_make(name).await?;
        let mut added = 0;
        let nothing = jobs.is_empty();
        for (partition, jobs) in queue.partitions.iter().zip(queue.by_partition(jobs, NewJob::id)) {
            // A queue exists from its first batch, even an empty one.
            if jobs.is_empty() && !nothing {
                continue;
            }
            let mut args: Vec<Arg> = Vec::with_capacity(jobs.len() * 3);
            for (_, job) in &jobs {
                args.extend([job.id().as_str().into(), when(job).into(), rest(job).into()]);
            }
            let reply = self.scripts.enqueue.run(&self.client, &partition.keys, args).await.map_err(failed(ENQUEUE))?;
            let mut reply = Fields::of(reply).map_err(unreadable(ENQUEUE))?;
            added += reply.number::<usize>().map_err(unreadable(ENQUEUE))?;
            // Also where all data went at once, and the registry with it.
            if reply.int().map_err(unreadable(ENQUEUE))? == 1 {
                self.register(&queue).await?;
            }
        }
        Ok(added)
    }

    pub(super) async fn exchange(
        &self,
        name: &str,
        acks: Vec<Ack>,
        fetch: Fetch,
    ) -> Result<(Vec<Settled>, Vec<LeasedJob>), BrokerError> {
        let queue = self.queue(name).await?;
        let mut all_settled = vec![Settled::Superseded; acks.len()];
        let mut all_leased: Vec<LeasedJob> = Vec::new();
        let mut acks = queue.by_partition(acks, |ack| &ack.token.id);
        // Kept to the end: what one partition gave is lost if another one fails the call.
        let mut answered: Vec<Request<'_>> = Vec::new();
        let mut failure = None;
        for nth in queue.in_turn() {
            let acks = std::mem::take(&mut acks[nth]);
            let wanted = fetch.max - all_leased.len().min(fetch.max);
            if acks.is_empty() && wanted == 0 {
                continue;
            }
            let request = queue.partitions[nth].requests.begin(&fetch.worker);
            match self.ask(&queue.partitions[nth], &acks, &fetch, wanted, &request).await {
                Ok(answer) => {
                    for ((position, _), settled) in acks.iter().zip(answer.settled) {
                        all_settled[*position] = settled;
                    }
                    all_leased.extend(answer.leased);
                    answered.push(request);
                }
                Err(Failed { error, may_have_run }) => {
                    if !may_have_run {
                        request.not_sent();
                    }
                    // Work goes on with the partitions that answer, unless there is something to say to this one.
                    if !acks.is_empty() {
                        return Err(error);
                    }
                    failure = Some(error);
                }
            }
        }
        if let (Some(error), true) = (failure, answered.is_empty()) {
            return Err(error);
        }
        answered.into_iter().for_each(Request::answered);
        Ok((all_settled, all_leased))
    }

    async fn ask(
        &self,
        partition: &Partition,
        acks: &[(usize, Ack)],
        fetch: &Fetch,
        wanted: usize,
        request: &Request<'_>,
    ) -> Result<Answer, Failed> {
        let mut args: Vec<Arg> = Vec::with_capacity(5 + request.lost().len() + acks.len() * 4);
        args.extend([
            fetch.worker.as_str().into(),
            wanted.into(),
            milliseconds(fetch.lease).into(),
            request.number().into(),
            request.lost().len().into(),
        ]);
        args.extend(request.lost().iter().map(|number| Arg::from(*number)));
        for (_, Ack { token, result }) in acks {
            args.extend([
                token.id.as_str().into(),
                token.delivery.into(),
                token.nonce.as_str().into(),
                result.as_str().into(),
            ]);
        }
        let reply = self.scripts.ack_and_fetch.run(&self.client, &partition.keys, args).await?;
        let answer = || {
            let mut reply = Fields::of(reply)?;
            let now = reply.time()?;
            let settled = settled(&reply.text()?)?;
            let mut jobs = Fields::of(reply.value())?;
            let mut leased = Vec::with_capacity(wanted.min(1_000));
            while !jobs.is_empty() {
                leased.push(leased_job(&mut jobs, &fetch.worker, now)?);
            }
            Ok(Answer { settled, leased })
        };
        answer().map_err(|error: Unreadable| Failed { error: unreadable(EXCHANGE)(error), may_have_run: true })
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
