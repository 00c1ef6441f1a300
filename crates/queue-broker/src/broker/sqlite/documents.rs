//! Documents.

use std::sync::Arc;

use async_trait::async_trait;
use sqlx::SqlitePool;

use super::error::failed;
use super::sql;
use super::writer::{Operation, Step};
use crate::broker::Document;
use crate::error::BrokerError;

pub(super) struct Put {
    pub(super) collection: String,
    pub(super) name: String,
    pub(super) expected: Option<u64>,
    pub(super) body: Option<String>,
}

#[async_trait]
impl Operation for Put {
    type Answer = bool;
    const NAME: &'static str = "write a document";

    async fn apply(&self, step: &mut Step<'_>) -> Result<bool, sqlx::Error> {
        let found: Option<(i64, String)> = sqlx::query_as(sql::DOCUMENT)
            .bind(&self.collection)
            .bind(&self.name)
            .fetch_optional(&mut *step.conn)
            .await?;
        if found.map(|(revision, _)| revision.unsigned_abs()) != self.expected {
            return Ok(false);
        }
        let Some(body) = &self.body else {
            let remove = sqlx::query(sql::REMOVE_DOCUMENT).bind(&self.collection).bind(&self.name);
            remove.execute(&mut *step.conn).await?;
            return Ok(true);
        };
        let revision: i64 = sqlx::query_scalar(sql::NEXT_REVISION).fetch_one(&mut *step.conn).await?;
        let put = sqlx::query(sql::PUT_DOCUMENT).bind(&self.collection).bind(&self.name).bind(revision).bind(body);
        put.execute(&mut *step.conn).await?;
        Ok(true)
    }
}

pub(super) async fn one(readers: &SqlitePool, collection: &str, name: &str) -> Result<Option<Document>, BrokerError> {
    let row: Option<(i64, String)> = sqlx::query_as(sql::DOCUMENT)
        .bind(collection)
        .bind(name)
        .fetch_optional(readers)
        .await
        .map_err(|error| failed("read a document", Arc::new(error)))?;
    Ok(row.map(|(revision, body)| Document { revision: revision.unsigned_abs(), body }))
}

pub(super) async fn all(readers: &SqlitePool, collection: &str) -> Result<Vec<(String, Document)>, BrokerError> {
    let rows: Vec<(String, i64, String)> = sqlx::query_as(sql::DOCUMENTS)
        .bind(collection)
        .fetch_all(readers)
        .await
        .map_err(|error| failed("read documents", Arc::new(error)))?;
    let document =
        |(name, revision, body): (String, i64, String)| (name, Document { revision: revision.unsigned_abs(), body });
    Ok(rows.into_iter().map(document).collect())
}
