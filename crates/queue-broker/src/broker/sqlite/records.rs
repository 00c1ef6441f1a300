//! Data that runs store with their job: checkpoints and log lines.

use std::sync::Arc;

use async_trait::async_trait;
use sqlx::{Row, SqlitePool};

use super::error::failed;
use super::row::{limit, time};
use super::sql;
use super::writer::{Operation, Step};
use crate::error::BrokerError;
use crate::id::JobId;
use crate::lease::LeaseToken;
use crate::record::{LOG_LIMIT, LogLine};

pub(super) struct StoreCheckpoint {
    pub(super) queue: String,
    pub(super) token: LeaseToken,
    pub(super) checkpoint: String,
}

#[async_trait]
impl Operation for StoreCheckpoint {
    type Answer = bool;
    const NAME: &'static str = "checkpoint";

    async fn apply(&self, step: &mut Step<'_>) -> Result<bool, sqlx::Error> {
        let Some(queue) = step.queue(&self.queue).await? else { return Ok(false) };
        let written = sqlx::query(sql::CHECKPOINT)
            .bind(queue.id)
            .bind(self.token.id.as_str())
            .bind(self.token.delivery)
            .bind(self.token.nonce.as_str())
            .bind(&self.checkpoint)
            .execute(&mut *step.conn)
            .await?;
        Ok(written.rows_affected() == 1)
    }
}

pub(super) struct WriteLog {
    pub(super) queue: String,
    pub(super) token: LeaseToken,
    pub(super) lines: Vec<String>,
}

#[async_trait]
impl Operation for WriteLog {
    type Answer = bool;
    const NAME: &'static str = "write a log";

    async fn apply(&self, step: &mut Step<'_>) -> Result<bool, sqlx::Error> {
        let Some(queue) = step.queue(&self.queue).await? else { return Ok(false) };
        let held: Option<i64> = sqlx::query_scalar(sql::LEASED_SEQ)
            .bind(queue.id)
            .bind(self.token.id.as_str())
            .bind(self.token.delivery)
            .bind(self.token.nonce.as_str())
            .fetch_optional(&mut *step.conn)
            .await?;
        let Some(job) = held else { return Ok(false) };
        let mut line: i64 = sqlx::query_scalar(sql::LAST_LINE).bind(job).fetch_one(&mut *step.conn).await?;
        let skipped = self.lines.len().saturating_sub(LOG_LIMIT);
        for text in &self.lines[skipped..] {
            line += 1;
            sqlx::query(sql::LOG)
                .bind(job)
                .bind(line)
                .bind(step.now.unix_ms())
                .bind(self.token.delivery)
                .bind(text)
                .execute(&mut *step.conn)
                .await?;
        }
        sqlx::query(sql::TRIM_LOG).bind(job).bind(line - limit(LOG_LIMIT)).execute(&mut *step.conn).await?;
        Ok(true)
    }
}

pub(super) async fn logs(readers: &SqlitePool, queue: &str, id: &JobId) -> Result<Vec<LogLine>, BrokerError> {
    let read = async {
        let rows = sqlx::query(sql::LOGS).bind(queue).bind(id.as_str()).fetch_all(readers).await?;
        let line =
            |row| Ok(LogLine { at: time(row, "at")?, delivery: row.try_get("delivery")?, text: row.try_get("text")? });
        rows.iter().map(line).collect::<Result<Vec<_>, sqlx::Error>>()
    };
    read.await.map_err(|error| failed("read a log", Arc::new(error)))
}
