//! Why a server can't be used, in words that help an operator to mend it.

use fred::types::Value as Fred;

use super::Client;
use crate::config::Topology;
use crate::error::{ConnectError, Error};
use crate::shards::Connection;
use crate::slot;

/// Why a server can't be used now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnosis {
    /// Whether something answers at its address.
    pub answers: bool,
    /// The reason: the server's own words, such as `NOAUTH …`, or what the network says.
    pub reason: String,
}

impl Client {
    /// Finds out why the server can't be used: connects anew, and sends a write that writes
    /// nothing. `None` if that succeeds. One connection, which the time-outs of the client bound.
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
