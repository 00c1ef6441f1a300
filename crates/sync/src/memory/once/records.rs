//! The idempotency records in memory.

use std::collections::{BTreeSet, HashMap};

use bytes::Bytes;

use crate::once::Operation;

/// Number of expired records that each `begin` removes.
const FORGET: usize = 10;

#[derive(Default)]
pub(in crate::memory) struct Records {
    records: HashMap<Operation, Record>,
    /// Expiry of each record.
    forget: BTreeSet<(u64, String, String)>,
}

pub(super) struct Record {
    pub(super) owner: String,
    pub(super) attempt: u64,
    pub(super) progress: Progress,
    pub(super) forget_at: u64,
}

pub(super) enum Progress {
    Running { ends: u64 },
    Done(Bytes),
}

impl Records {
    pub(super) fn forget(&mut self, now: u64) {
        for _ in 0..FORGET {
            match self.forget.first() {
                Some((at, ..)) if *at <= now => {}
                _ => return,
            }
            if let Some((_, scope, key)) = self.forget.pop_first() {
                self.records.remove(&Operation { scope, key });
            }
        }
    }

    /// The record of `operation`, unless it has expired.
    pub(super) fn get(&mut self, operation: &Operation, now: u64) -> Option<&mut Record> {
        self.records.get_mut(operation).filter(|record| record.forget_at > now)
    }

    pub(super) fn put(&mut self, operation: &Operation, record: Record) {
        let line = |forget_at| (forget_at, operation.scope.clone(), operation.key.clone());
        self.forget.insert(line(record.forget_at));
        let forget_at = record.forget_at;
        if let Some(before) = self.records.insert(operation.clone(), record).filter(|old| old.forget_at != forget_at) {
            self.forget.remove(&line(before.forget_at));
        }
    }
}
