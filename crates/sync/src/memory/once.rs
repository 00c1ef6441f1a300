//! Idempotency in memory.

pub(super) mod records;

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

use self::records::{Progress, Record};
use super::{MemoryStore, lock};
use crate::clock::micros;
use crate::error::StoreError;
use crate::once::{Begun, OnceStore, Operation};

#[async_trait]
impl OnceStore for MemoryStore {
    async fn begin(
        &self,
        operation: &Operation,
        owner: &str,
        lease: Duration,
        keep: Duration,
    ) -> Result<Begun, StoreError> {
        let mut records = lock(&self.once);
        let now = self.now();
        records.forget(now);
        let attempt = match records.get(operation, now) {
            None => 1,
            Some(Record { progress: Progress::Done(result), .. }) => return Ok(Begun::Done(result.clone())),
            Some(record) if record.owner == owner => record.attempt,
            Some(Record { progress: Progress::Running { ends }, .. }) if *ends > now => {
                return Ok(Begun::Busy { ends_in: Duration::from_micros(*ends - now) });
            }
            Some(record) => record.attempt + 1,
        };
        let progress = Progress::Running { ends: now + micros(lease) };
        let record = Record { owner: owner.to_owned(), attempt, progress, forget_at: now + micros(keep) };
        records.put(operation, record);
        Ok(Begun::Started { attempt })
    }

    async fn extend(
        &self,
        operation: &Operation,
        owner: &str,
        lease: Duration,
        keep: Duration,
    ) -> Result<bool, StoreError> {
        let mut records = lock(&self.once);
        let now = self.now();
        let attempt = match records.get(operation, now) {
            Some(Record { owner: holder, progress: Progress::Running { .. }, attempt, .. }) if holder == owner => {
                *attempt
            }
            _ => return Ok(false),
        };
        let progress = Progress::Running { ends: now + micros(lease) };
        let record = Record { owner: owner.to_owned(), attempt, progress, forget_at: now + micros(keep) };
        records.put(operation, record);
        Ok(true)
    }

    async fn complete(
        &self,
        operation: &Operation,
        owner: &str,
        result: Bytes,
        keep: Duration,
    ) -> Result<bool, StoreError> {
        let mut records = lock(&self.once);
        let now = self.now();
        let attempt = match records.get(operation, now) {
            Some(record) if record.owner == owner => match record.progress {
                Progress::Running { .. } => record.attempt,
                Progress::Done(_) => return Ok(true),
            },
            _ => return Ok(false),
        };
        let progress = Progress::Done(result);
        let record = Record { owner: owner.to_owned(), attempt, progress, forget_at: now + micros(keep) };
        records.put(operation, record);
        Ok(true)
    }

    async fn fail(&self, operation: &Operation, owner: &str) -> Result<(), StoreError> {
        let mut records = lock(&self.once);
        let now = self.now();
        if let Some(record) = records.get(operation, now)
            && record.owner == owner
            && let Progress::Running { ends } = &mut record.progress
        {
            *ends = 0;
            record.owner.clear();
        }
        Ok(())
    }
}
