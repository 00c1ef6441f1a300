//! The registry: names of queues, and live workers.

use tidegate_redis::{Command, Value};

use super::RedisBroker;
use super::envelope::milliseconds;
use super::reply::{Fields, Unreadable, failed, unreadable};
use crate::broker::WORKER_MEMORY;
use crate::error::BrokerError;
use crate::id::WorkerId;
use crate::worker::WorkerInfo;

const QUEUES: &str = "list queues";
const ANNOUNCE: &str = "announce";
const WITHDRAW: &str = "withdraw";
const WORKERS: &str = "list workers";

impl RedisBroker {
    pub(super) async fn names(&self) -> Result<Vec<String>, BrokerError> {
        let ask = Command::new("HKEYS").key(&self.registry.names).idempotent();
        let names = self.client.execute(ask).await.and_then(Value::into_array).map_err(failed(QUEUES))?;
        let names: Result<Vec<_>, _> = names.into_iter().map(Value::into_text).collect();
        let mut names = names.map_err(failed(QUEUES))?;
        names.sort_unstable();
        Ok(names)
    }

    pub(super) async fn enter(&self, worker: &WorkerInfo) -> Result<(), BrokerError> {
        let info = serde_json::to_string(worker).map_err(Unreadable::from).map_err(unreadable(ANNOUNCE))?;
        let args = vec![worker.id.as_str().into(), info.into(), milliseconds(WORKER_MEMORY).into()];
        let keys = [&self.registry.workers, &self.registry.seen];
        self.client.run(&self.scripts.announce, &keys, args).await.map_err(failed(ANNOUNCE)).map(drop)
    }

    pub(super) async fn leave(&self, worker: &WorkerId) -> Result<(), BrokerError> {
        // Without its info it is not shown, so the order is of no matter.
        for (command, key) in [("HDEL", &self.registry.workers), ("ZREM", &self.registry.seen)] {
            let forget = Command::new(command).key(key).arg(worker.as_str()).idempotent();
            self.client.execute(forget).await.map_err(failed(WITHDRAW))?;
        }
        Ok(())
    }

    pub(super) async fn seen(&self) -> Result<Vec<WorkerInfo>, BrokerError> {
        let keys = [&self.registry.workers, &self.registry.seen];
        let reply = self.client.run(&self.scripts.workers, &keys, vec![milliseconds(WORKER_MEMORY).into()]).await;
        let mut reply = Fields::of(reply.map_err(failed(WORKERS))?).map_err(unreadable(WORKERS))?;
        let mut workers = Vec::new();
        while !reply.is_empty() {
            let (info, last_seen) = (reply.text(), reply.time());
            let (info, last_seen) = (info.map_err(unreadable(WORKERS))?, last_seen.map_err(unreadable(WORKERS))?);
            // An entry that a newer release wrote in another shape is not one we can show.
            if let Ok(info) = serde_json::from_str::<WorkerInfo>(&info) {
                workers.push(WorkerInfo { last_seen, ..info });
            }
        }
        workers.sort_by(|a, b| a.id.cmp(&b.id));
        Ok(workers)
    }
}
