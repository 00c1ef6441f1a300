//! Steps on leases: settle, extend, store progress.

use std::time::Duration;

use futures_util::future::join_all;
use tidegate_redis::Arg;

use super::broker::RedisBroker;
use super::envelope::milliseconds;
use super::reply::{failed, settled, token_text, unreadable};
use crate::broker::CHECKPOINT_LIMIT;
use crate::broker::documents::check_size;
use crate::error::BrokerError;
use crate::lease::{Heartbeat, LeaseToken, Nack, NackAction, Settled};
use crate::record::{Progress, shortened};

const NACK: &str = "give back";
const HEARTBEAT: &str = "heartbeat";
const PROGRESS: &str = "progress";
const CHECKPOINT: &str = "checkpoint";
const LOG: &str = "log";

fn token_args(token: &LeaseToken) -> [Arg; 2] {
    [token.id.as_str().into(), token_text(token).into()]
}

fn action_args(action: NackAction) -> [Arg; 3] {
    let (name, delay, text) = match action {
        NackAction::Retry { delay, error } => ("retry", delay, error),
        NackAction::Snooze { delay, note } => ("snooze", delay, note.unwrap_or_default()),
        NackAction::Dead { error } => ("dead", Duration::ZERO, error),
        NackAction::Release => ("release", Duration::ZERO, String::new()),
        NackAction::Discard { reason } => ("discard", Duration::ZERO, reason),
    };
    [name.into(), milliseconds(delay).into(), shortened(text).into()]
}

impl RedisBroker {
    pub(super) async fn give_back(&self, name: &str, nacks: Vec<Nack>) -> Result<Vec<Settled>, BrokerError> {
        let queue = self.queue(name).await?;
        let mut answers = vec![Settled::Unanswered; nacks.len()];
        let nacks = queue.by_partition(nacks, |nack| &nack.token.id);
        let calls = queue.partitions.iter().zip(nacks).filter(|(_, nacks)| !nacks.is_empty());
        let calls = calls.map(|(partition, nacks)| async move {
            let mut args = Vec::with_capacity(nacks.len() * 5);
            let mut positions = Vec::with_capacity(nacks.len());
            for (position, Nack { token, action }) in nacks {
                positions.push(position);
                args.extend(token_args(&token));
                args.extend(action_args(action));
            }
            let reply = self.scripts.nack.run_even_full(&self.client, &partition.keys, || args.clone()).await;
            let reply = reply.map_err(failed(NACK))?;
            let digits = reply.into_text().map_err(failed(NACK))?;
            let settled = settled(&digits).map_err(unreadable(NACK))?;
            Ok::<_, BrokerError>(positions.into_iter().zip(settled).collect::<Vec<_>>())
        });
        let (mut is_answered, mut failure) = (false, None);
        for reply in join_all(calls).await {
            match reply {
                Ok(settled) => {
                    is_answered = true;
                    for (position, answer) in settled {
                        answers[position] = answer;
                    }
                }
                Err(error) => failure = Some(error),
            }
        }
        match failure {
            Some(error) if !is_answered => Err(error),
            _ => Ok(answers),
        }
    }

    pub(super) async fn extend(
        &self,
        name: &str,
        tokens: Vec<LeaseToken>,
        lease: Duration,
    ) -> Result<Heartbeat, BrokerError> {
        let queue = self.queue(name).await?;
        let tokens = queue.by_partition(tokens, |token| &token.id);
        let calls = queue.partitions.iter().zip(tokens).filter(|(_, tokens)| !tokens.is_empty());
        let calls = calls.map(|(partition, tokens)| async move {
            let mut args: Vec<Arg> = vec![milliseconds(lease).into()];
            args.extend(tokens.iter().flat_map(|(_, token)| token_args(token)));
            let client = self.heartbeats.client().await?;
            let reply = self.scripts.heartbeat.run(&client, &partition.keys, args).await.map_err(failed(HEARTBEAT))?;
            let digits = reply.into_text().map_err(failed(HEARTBEAT))?;
            Ok::<_, BrokerError>((tokens, digits))
        });
        let mut answer = Heartbeat::default();
        // Every partition is called, even if another one's shard is unreachable: its leases must
        // not expire because of that. Leases of partitions that don't answer count as held, unless
        // no partition answers.
        let (mut is_answered, mut failure) = (false, None);
        for reply in join_all(calls).await {
            let (tokens, digits) = match reply {
                Ok(reply) => reply,
                Err(error) => {
                    failure.get_or_insert(error);
                    continue;
                }
            };
            is_answered = true;
            for ((_, token), digit) in tokens.into_iter().zip(digits.bytes()) {
                match digit {
                    b'1' => answer.cancelled.push(token),
                    b'2' => answer.lost.push(token),
                    _ => {}
                }
            }
        }
        match failure {
            Some(error) if !is_answered => Err(error),
            _ => Ok(answer),
        }
    }

    pub(super) async fn store_progress(
        &self,
        name: &str,
        token: &LeaseToken,
        progress: Progress,
    ) -> Result<bool, BrokerError> {
        let queue = self.queue(name).await?;
        let mut args = token_args(token).to_vec();
        args.extend([u32::from(progress.percent).into(), progress.message.into()]);
        let reply = self.scripts.progress.run_even_full(&self.client, queue.keys_of(&token.id), || args.clone()).await;
        Ok(reply.and_then(|held| held.as_int()).map_err(failed(PROGRESS))? == 1)
    }

    pub(super) async fn store_checkpoint(
        &self,
        name: &str,
        token: &LeaseToken,
        checkpoint: String,
    ) -> Result<bool, BrokerError> {
        check_size("checkpoint", &checkpoint, CHECKPOINT_LIMIT)?;
        let queue = self.queue(name).await?;
        let mut args = token_args(token).to_vec();
        args.push(checkpoint.into());
        let reply =
            self.scripts.checkpoint.run_even_full(&self.client, queue.keys_of(&token.id), || args.clone()).await;
        Ok(reply.and_then(|held| held.as_int()).map_err(failed(CHECKPOINT))? == 1)
    }

    pub(super) async fn store_lines(
        &self,
        name: &str,
        token: &LeaseToken,
        lines: Vec<String>,
    ) -> Result<bool, BrokerError> {
        let queue = self.queue(name).await?;
        let mut args = token_args(token).to_vec();
        args.extend(lines.into_iter().map(|line| Arg::from(shortened(line))));
        let reply = self.scripts.log.run_even_full(&self.client, queue.keys_of(&token.id), || args.clone()).await;
        Ok(reply.and_then(|held| held.as_int()).map_err(failed(LOG))? == 1)
    }
}
