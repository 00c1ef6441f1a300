//! Diagnoses why a server can't be used, to help operators.

use fred::types::Value as Fred;

use super::Client;
use crate::config::Topology;
use crate::error::{ConnectError, Error};
use crate::shards::Connection;
use crate::slot;

/// Why a server can't be used now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnosis {
    /// Whether a server answers at its address.
    pub answers: bool,
    /// The reason: the server's error, such as `NOAUTH …`, or the network error.
    pub reason: String,
}

impl Client {
    /// Finds out why the server can't be used: opens a new connection, and sends a write that
    /// changes nothing. `None` if that succeeds. Uses one connection, with the time-outs of the
    /// client.
    pub async fn diagnose(&self) -> Option<Diagnosis> {
        let inner = &self.inner;
        let slot = inner.availability.all_open().first().copied().unwrap_or_default();
        let key = format!("tidegate:probe:{{{}}}", slot::tag_in(slot));
        let answer = match inner.config.topology() {
            Topology::Cluster => inner.shards.send(slot, "UNLINK", vec![Fred::from(key)]).await,
            Topology::Single | Topology::Sentinel => match Connection::open(&inner.config, None, inner.timeout).await {
                Ok(connection) => connection.send("UNLINK", vec![Fred::from(key)]).await,
                Err(error) => {
                    let answers = !matches!(error, ConnectError::Unreachable { .. });
                    return Some(Diagnosis { answers, reason: error.to_string() });
                }
            },
        };
        let error = Error::from_fred(&answer.err()?);
        Some(Diagnosis { answers: error.code().is_some(), reason: error.to_string() })
    }
}
