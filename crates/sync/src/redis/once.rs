//! Idempotency records in Redis.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use tidegate_redis::{Arg, Script};

use super::reply::Reply;
use super::{RedisStore, keys};
use crate::clock::micros;
use crate::error::StoreError;
use crate::once::{Begun, OnceStore, Operation};

/// In milliseconds. Redis requires at least one.
fn millis(keep: Duration) -> Arg {
    (micros(keep) / 1_000).max(1).into()
}

impl RedisStore {
    async fn on_record(
        &self,
        doing: &'static str,
        script: &Script,
        operation: &Operation,
        args: Vec<Arg>,
    ) -> Result<bool, StoreError> {
        let key = keys::once(&self.keyspace, operation);
        let value = self.run(doing, script, &[&key], args).await?;
        Ok(value.as_int().map_err(|error| StoreError::redis(doing, error))? == 1)
    }
}

#[async_trait]
impl OnceStore for RedisStore {
    async fn begin(
        &self,
        operation: &Operation,
        owner: &str,
        lease: Duration,
        keep: Duration,
    ) -> Result<Begun, StoreError> {
        const DOING: &str = "beginning an operation";
        let key = keys::once(&self.keyspace, operation);
        let args = vec![owner.into(), micros(lease).into(), millis(keep)];
        let value = self.run(DOING, &self.scripts.once_begin, &[&key], args).await?;
        let mut reply = Reply::new(DOING, value)?;
        match &*reply.bytes()? {
            b"started" => Ok(Begun::Started { attempt: reply.count()? }),
            b"busy" => Ok(Begun::Busy { ends_in: reply.micros()? }),
            b"done" => Ok(Begun::Done(reply.bytes()?)),
            _ => reply.misunderstood(),
        }
    }

    async fn extend(
        &self,
        operation: &Operation,
        owner: &str,
        lease: Duration,
        keep: Duration,
    ) -> Result<bool, StoreError> {
        let args = vec![owner.into(), micros(lease).into(), millis(keep)];
        self.on_record("extending an operation", &self.scripts.once_extend, operation, args).await
    }

    async fn complete(
        &self,
        operation: &Operation,
        owner: &str,
        result: Bytes,
        keep: Duration,
    ) -> Result<bool, StoreError> {
        let args = vec![owner.into(), result.into(), millis(keep)];
        self.on_record("completing an operation", &self.scripts.once_complete, operation, args).await
    }

    async fn fail(&self, operation: &Operation, owner: &str) -> Result<(), StoreError> {
        let args = vec![owner.into()];
        self.on_record("giving up an operation", &self.scripts.once_fail, operation, args).await?;
        Ok(())
    }
}
