//! Locks and semaphores in Redis.

use std::time::Duration;

use async_trait::async_trait;
use tidegate_redis::Value;

use super::RedisStore;
use super::keys::PermitKeys;
use super::reply::Reply;
use super::waiters::channels;
use crate::clock::micros;
use crate::error::StoreError;
use crate::fence::Fence;
use crate::permit::{Acquire, Acquired, PermitStore, Place};

/// How long the highest token is stored after its last use, in ms. A token is the server's clock in
/// µs, or the last token plus one. The stored token protects against a clock that was set back.
/// After it has expired, or after `FLUSHALL`, only the clock ensures growth.
const FENCE_MEMORY_MS: u64 = 3_600_000;

#[async_trait]
impl PermitStore for RedisStore {
    async fn acquire(&self, request: Acquire<'_>) -> Result<Acquired, StoreError> {
        const OPERATION: &str = "acquiring";
        let keys = PermitKeys::new(&self.keyspace, request.place);
        let keys = [&*keys.holders, &keys.fence, &keys.queue, &keys.alive];
        let lease = micros(request.lease);
        let args = vec![
            request.owner.into(),
            request.permits.into(),
            lease.into(),
            request.queue.map_or(0, micros).into(),
            (lease / 1_000 + FENCE_MEMORY_MS).into(),
            channels(&self.keyspace).into(),
        ];
        let value = self.run(OPERATION, &self.scripts.permit_acquire, &keys, args).await;
        let answer = value.and_then(|value| read(OPERATION, value));
        if !matches!(answer, Ok(Acquired::Busy { .. })) {
            self.waiters.remove(request.owner);
        }
        answer
    }

    async fn extend(&self, place: &Place, owner: &str, lease: Duration) -> Result<bool, StoreError> {
        const OPERATION: &str = "extending a lease";
        let keys = PermitKeys::new(&self.keyspace, place);
        let args = vec![owner.into(), micros(lease).into()];
        let value = self.run(OPERATION, &self.scripts.permit_extend, &[&keys.holders], args).await?;
        Ok(value.as_int().map_err(|error| StoreError::redis(OPERATION, error))? == 1)
    }

    async fn release(&self, place: &Place, owner: &str) -> Result<(), StoreError> {
        self.waiters.remove(owner);
        let keys = PermitKeys::new(&self.keyspace, place);
        let keys = [&*keys.holders, &keys.queue, &keys.alive];
        let args = vec![owner.into(), channels(&self.keyspace).into()];
        self.run("releasing", &self.scripts.permit_release, &keys, args).await?;
        Ok(())
    }

    async fn wait(&self, _: &Place, owner: &str, at_most: Duration) {
        self.waiters.wait(owner, at_most).await;
    }
}

fn read(operation: &'static str, value: Value) -> Result<Acquired, StoreError> {
    let mut reply = Reply::new(operation, value)?;
    Ok(match reply.count()? {
        1 => Acquired::Granted(Fence::new(reply.count()?)),
        _ => Acquired::Busy { ahead: reply.count()?, free_in: reply.micros()? },
    })
}
