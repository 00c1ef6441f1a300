//! The store in Redis.

mod keys;
mod ledger;
mod once;
mod permits;
mod redlock;
mod reply;
mod scripts;
mod stock;
mod waiters;

use std::fmt;
use std::sync::Arc;

use tidegate_redis::{Arg, Client, ClockPrelude, Keyspace, Script, Value};

pub use redlock::{Redlock, RedlockError, RedlockGuard};

use crate::error::StoreError;
use scripts::Scripts;
use waiters::Waiters;

/// Stores everything in one Redis: a server, the primary of Sentinels, or a cluster. Cheap to
/// clone.
///
/// Every step is one script and one round trip, on the keys of one slot. Deadlines are computed and
/// compared only with the server's clock. All steps may be repeated, so a step whose reply is lost
/// is sent once more.
///
/// A release wakes the first waiter of a lock or a semaphore with a message. The channel is
/// `<prefix>:woken:<8 digits>`. An account without permission to subscribe or publish also gets its
/// locks, up to 25 ms later.
#[derive(Clone)]
pub struct RedisStore {
    client: Client,
    keyspace: Keyspace,
    scripts: Arc<Scripts>,
    waiters: Arc<Waiters>,
}

impl RedisStore {
    /// Creates a store with `client`, which should have the
    /// [durable](tidegate_redis::Role::Durable) role: an evicted lock is lost.
    pub fn new(client: Client, keyspace: Keyspace) -> Self {
        Self::with_clock(client, keyspace, &ClockPrelude::SERVER)
    }

    /// Creates a store with another clock, for tests.
    #[doc(hidden)]
    pub fn with_clock(client: Client, keyspace: Keyspace, clock: &ClockPrelude) -> Self {
        let waiters = Arc::new(Waiters::new(&client, &keyspace));
        Self { client, keyspace, scripts: Arc::new(Scripts::new(clock)), waiters }
    }

    async fn run(
        &self,
        operation: &'static str,
        script: &Script,
        keys: &[&str],
        args: Vec<Arg>,
    ) -> Result<Value, StoreError> {
        self.client.run(script, keys, args).await.map_err(|error| StoreError::redis(operation, error))
    }
}

impl fmt::Debug for RedisStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisStore")
            .field("client", &self.client)
            .field("prefix", &self.keyspace.prefix())
            .finish_non_exhaustive()
    }
}
