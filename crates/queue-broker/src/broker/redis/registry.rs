//! The registry: names of queues, and workers that are alive.

use tidegate_redis::{Command, Value};

use super::broker::RedisBroker;
use super::envelope::milliseconds;
use super::reply::{Fields, Unreadable, failed, unreadable};
use crate::broker::WORKER_MEMORY;
use crate::broker::WorkerInfo;
use crate::error::BrokerError;
use crate::id::WorkerId;

const QUEUES: &str = "list queues";
const ANNOUNCE: &str = "announce";
const WITHDRAW: &str = "withdraw";
const WORKERS: &str = "list workers";

impl RedisBroker {
    pub(super) async fn names(&self) -> Result<Vec<String>, BrokerError> {
        let command = Command::new("HKEYS").key(&self.registry.names).idempotent();
        let names = self.client.execute(command).await.and_then(Value::into_array).map_err(failed(QUEUES))?;
        let names: Result<Vec<_>, _> = names.into_iter().map(Value::into_text).collect();
        let mut names = names.map_err(failed(QUEUES))?;
        names.sort_unstable();
        Ok(names)
    }

    pub(super) async fn enter(&self, worker: &WorkerInfo) -> Result<(), BrokerError> {
        let info = serde_json::to_string(worker).map_err(Unreadable::from).map_err(unreadable(ANNOUNCE))?;
        let args = vec![worker.id.as_str().into(), info.into(), milliseconds(WORKER_MEMORY).into()];
        // Opens the heartbeat connection before the first lease.
        let client = self.heartbeats.client().await?;
        client.run(&self.scripts.announce, &[&self.registry.workers], args).await.map_err(failed(ANNOUNCE)).map(drop)
    }

    pub(super) async fn leave(&self, worker: &WorkerId) -> Result<(), BrokerError> {
        let forget = Command::new("HDEL").key(&self.registry.workers).arg(worker.as_str()).idempotent();
        self.client.execute(forget).await.map_err(failed(WITHDRAW)).map(drop)
    }

    pub(super) async fn seen(&self) -> Result<Vec<WorkerInfo>, BrokerError> {
        let args = vec![milliseconds(WORKER_MEMORY).into()];
        let reply = self.client.run(&self.scripts.workers, &[&self.registry.workers], args).await;
        let mut reply = Fields::of(reply.map_err(failed(WORKERS))?).map_err(unreadable(WORKERS))?;
        let mut workers = Vec::new();
        while !reply.is_empty() {
            let last_seen = reply.time().map_err(unreadable(WORKERS))?;
            let info = reply.text().map_err(unreadable(WORKERS))?;
            // Skips an entry of a newer version that this one can't read.
            if let Ok(info) = serde_json::from_str::<WorkerInfo>(&info) {
                workers.push(WorkerInfo { last_seen, ..info });
            }
        }
        workers.sort_by(|a, b| a.id.cmp(&b.id));
        Ok(workers)
    }
}
