//! The registry of workers that are alive.

use std::sync::Arc;

use async_trait::async_trait;
use sqlx::SqlitePool;

use super::error::failed;
use super::sql;
use super::writer::{Operation, Step};
use crate::broker::WORKER_MEMORY;
use crate::broker::WorkerInfo;
use crate::error::BrokerError;
use crate::id::WorkerId;
use crate::timestamp::Timestamp;

pub(super) struct Announce {
    pub(super) worker: WorkerInfo,
}

#[async_trait]
impl Operation for Announce {
    type Answer = ();
    const NAME: &'static str = "announce";

    async fn apply(&self, step: &mut Step<'_>) -> Result<(), sqlx::Error> {
        let info = WorkerInfo { last_seen: step.now, ..self.worker.clone() };
        let text = serde_json::to_string(&info).map_err(super::row::unreadable("info"))?;
        sqlx::query(sql::ANNOUNCE)
            .bind(info.id.as_str())
            .bind(text)
            .bind(step.now.unix_ms())
            .execute(&mut *step.conn)
            .await?;
        let horizon = step.now.before(WORKER_MEMORY).unix_ms();
        sqlx::query(sql::FORGET).bind(horizon).execute(&mut *step.conn).await?;
        Ok(())
    }
}

pub(super) struct Withdraw {
    pub(super) worker: WorkerId,
}

#[async_trait]
impl Operation for Withdraw {
    type Answer = ();
    const NAME: &'static str = "withdraw";

    async fn apply(&self, step: &mut Step<'_>) -> Result<(), sqlx::Error> {
        let query = sqlx::query(sql::WITHDRAW).bind(self.worker.as_str());
        query.execute(&mut *step.conn).await.map(drop)
    }
}

pub(super) async fn seen(readers: &SqlitePool, now: Timestamp) -> Result<Vec<WorkerInfo>, BrokerError> {
    let horizon = now.before(WORKER_MEMORY).unix_ms();
    let rows: Vec<String> = sqlx::query_scalar(sql::WORKERS)
        .bind(horizon)
        .fetch_all(readers)
        .await
        .map_err(|error| failed("list workers", Arc::new(error)))?;
    // Skips entries of newer versions that this one can't read.
    let mut workers: Vec<WorkerInfo> = rows.iter().filter_map(|info| serde_json::from_str(info).ok()).collect();
    workers.sort_by(|a, b| a.id.cmp(&b.id));
    Ok(workers)
}
