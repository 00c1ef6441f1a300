//! Parsing of the scripts' replies.

use std::time::Duration;

use bytes::Bytes;
use tidegate_redis::Value;

use crate::error::StoreError;

/// A reply, read from its first element on.
pub(super) struct Reply {
    operation: &'static str,
    values: std::vec::IntoIter<Value>,
}

/// A script's reply does not have the documented form.
#[derive(Debug, thiserror::Error)]
#[error("the reply of the script is not understood")]
pub(super) struct Misunderstood;

impl Reply {
    pub(super) fn new(operation: &'static str, value: Value) -> Result<Self, StoreError> {
        let values = value.into_array().map_err(|error| StoreError::redis(operation, error))?;
        Ok(Self { operation, values: values.into_iter() })
    }

    fn next(&mut self) -> Value {
        self.values.next().unwrap_or(Value::Nil)
    }

    pub(super) fn count(&mut self) -> Result<u64, StoreError> {
        self.next().as_count().map_err(|error| StoreError::redis(self.operation, error))
    }

    /// A count. `None` for nil or empty text.
    pub(super) fn optional_count(&mut self) -> Result<Option<u64>, StoreError> {
        match self.next() {
            Value::Nil => Ok(None),
            Value::Bytes(text) if text.is_empty() => Ok(None),
            value => value.as_count().map(Some).map_err(|error| StoreError::redis(self.operation, error)),
        }
    }

    /// The balance of a taker. Zero if there is none or it is not yet known.
    pub(super) fn balance(&mut self) -> Result<u64, StoreError> {
        match self.next() {
            Value::Bytes(text) if text.starts_with(b"@") => Ok(0),
            Value::Nil => Ok(0),
            Value::Bytes(text) if text.is_empty() => Ok(0),
            value => value.as_count().map_err(|error| StoreError::redis(self.operation, error)),
        }
    }

    /// A total, which may exceed the numbers of the scripts.
    pub(super) fn sum(&mut self) -> Result<u128, StoreError> {
        let text = self.text()?;
        text.parse().or_else(|_| self.misunderstood())
    }

    pub(super) fn text(&mut self) -> Result<String, StoreError> {
        self.next().into_text().map_err(|error| StoreError::redis(self.operation, error))
    }

    pub(super) fn optional_text(&mut self) -> Result<Option<String>, StoreError> {
        match self.next() {
            Value::Nil => Ok(None),
            value => value.into_text().map(Some).map_err(|error| StoreError::redis(self.operation, error)),
        }
    }

    pub(super) fn micros(&mut self) -> Result<Duration, StoreError> {
        self.count().map(Duration::from_micros)
    }

    pub(super) fn bytes(&mut self) -> Result<Bytes, StoreError> {
        self.next().into_bytes().map_err(|error| StoreError::redis(self.operation, error))
    }

    pub(super) fn misunderstood<T>(&self) -> Result<T, StoreError> {
        misunderstood(self.operation)
    }
}

pub(super) fn misunderstood<T>(operation: &'static str) -> Result<T, StoreError> {
    Err(StoreError::new(operation, Misunderstood))
}
