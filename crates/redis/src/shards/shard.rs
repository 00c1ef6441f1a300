//! A primary and its connection.

use std::sync::Arc;

use super::address::Address;
use super::connection::Connection;

/// A primary. Cheap to clone; its connection closes with the last clone.
#[derive(Clone)]
pub(crate) struct Shard(Arc<Server>);

struct Server {
    address: Address,
    connection: Connection,
}

impl Shard {
    pub(super) fn new(address: Address, connection: Connection) -> Self {
        Self(Arc::new(Server { address, connection }))
    }

    /// Its address. With Sentinels, that of the first Sentinel.
    pub(crate) fn address(&self) -> &Address {
        &self.0.address
    }

    /// Its connection.
    pub(crate) fn connection(&self) -> &Connection {
        &self.0.connection
    }

    /// Whether both are the same connection.
    pub(crate) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}
