//! Blocking commands, on connections of their own.

mod waiter;

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bb8::{Pool, RunError};
use bytes::Bytes;
use fred::types::Value as Fred;
use tokio::time::{Instant, timeout_at};

use self::waiter::Maker;
use crate::config::{Config, Role, Topology};
use crate::error::{Error, ErrorKind};
use crate::shards::{Address, Redirect, StormLog};
use crate::slot;
use crate::value::Value;

/// How long an answer may be late before its connection counts as dead.
const GRACE: Duration = Duration::from_secs(1);
/// Most redirections in a cluster that one command follows.
const HOPS: u32 = 5;
/// The shortest wait. Zero would mean forever.
const SHORTEST: Duration = Duration::from_millis(1);

/// Connections for blocking commands: one per concurrent wait, up to `size` per primary.
///
/// Connections are opened when they are needed. A connection is closed and replaced if it was lost,
/// its answer is one second late, or its caller was cancelled. So a dead connection is never used.
///
/// # What is not guaranteed
///
/// **That a popped element arrives.** If the future is dropped, or the connection lost, directly
/// after the server has popped an element, the element is lost. So use it for wake-up tokens that
/// carry no data, and read the work itself from another place.
#[derive(Clone)]
pub struct BlockingPool {
    inner: Arc<Inner>,
}

struct Inner {
    config: Config,
    role: Role,
    size: u32,
    known: Mutex<Known>,
    storms: StormLog,
}

/// State learned from answers.
#[derive(Default)]
struct Known {
    /// Pools by server. `None` is the server that the URL names.
    pools: HashMap<Option<Address>, Pool<Maker>>,
    /// The servers of the slots of a cluster.
    servers: HashMap<u16, Address>,
}

/// Answer of one server.
enum Answer {
    Reply(Value),
    /// A redirection. The error contains it in the server's words.
    Elsewhere(Redirect, Error),
}

impl BlockingPool {
    /// Creates a pool. The first connection is opened when it is needed.
    ///
    /// `size` is the largest number of concurrent waits per primary, at least one. Further callers
    /// wait for a free connection.
    pub fn new(config: &Config, role: Role, size: u32) -> Self {
        let (known, storms) = (Mutex::new(Known::default()), StormLog::default());
        Self { inner: Arc::new(Inner { config: config.clone(), role, size: size.max(1), known, storms }) }
    }

    /// Pops the first element of the first list that has one; waits up to `timeout` for it. All
    /// keys must share one slot.
    ///
    /// `None` if nothing arrived. The future may be dropped at any time: the server then ends the
    /// wait.
    ///
    /// # Errors
    /// - `Busy` if no connection became free within `timeout`.
    /// - `Unavailable` if no connection can be opened.
    /// - `Timeout` if the answer is one second late.
    /// - `Invalid` if the keys have several slots.
    /// - `ReadOnly` if the server has become a replica.
    pub async fn blpop(&self, keys: &[&str], timeout: Duration) -> Result<Option<(String, Bytes)>, Error> {
        let slot = slot::common_slot(keys.iter().map(|key| key.as_bytes()))
            .ok_or_else(|| Error::new(ErrorKind::Invalid, "BLPOP needs keys, all of one slot"))?;
        let deadline = Instant::now() + timeout.max(SHORTEST);
        let reply = self.wait(slot, "BLPOP", keys, deadline).await?;
        if reply.is_nil() {
            return Ok(None);
        }
        let mut pair = reply.into_array()?.into_iter();
        match (pair.next(), pair.next()) {
            (Some(key), Some(element)) => Ok(Some((key.into_text()?, element.into_bytes()?))),
            (found, _) => Err(Error::decode("a key and an element", &found)),
        }
    }

    /// Sends the command to the slot's server, and follows redirections.
    async fn wait(&self, slot: u16, name: &'static str, keys: &[&str], deadline: Instant) -> Result<Value, Error> {
        let mut server = self.server_of(slot);
        let (mut is_asking, mut last) = (false, String::new());
        for _ in 0..=HOPS {
            let answer = self.wait_at(server.as_ref(), is_asking, name, keys, deadline).await;
            let answer = answer.inspect_err(|error| {
                // The slot may be at another server now. The next wait starts with the servers of
                // the URL.
                if error.kind() != ErrorKind::Busy {
                    self.known(|known| known.servers.remove(&slot));
                }
                // An unreachable server may be gone for good. If it isn't, its pool is created
                // again.
                if error.kind() == ErrorKind::Unavailable {
                    self.forget(server.as_ref());
                }
            })?;
            let (redirect, error) = match answer {
                Answer::Reply(reply) => return Ok(reply),
                Answer::Elsewhere(redirect, error) => (redirect, error),
            };
            last = error.to_string();
            match redirect {
                Redirect::Moved { slot, to } => {
                    self.known(|known| known.servers.insert(slot, to.clone()));
                    let old = server.replace(to);
                    is_asking = false;
                    if !self.known(|known| known.servers.values().any(|server| Some(server) == old.as_ref())) {
                        self.forget(old.as_ref());
                    }
                }
                Redirect::Ask { to } => (server, is_asking) = (Some(to), true),
            }
        }
        Err(Error::new(ErrorKind::Loading, self.inner.storms.give_up("CLUSTERDOWN", HOPS + 1, &last)))
    }

    async fn wait_at(
        &self,
        server: Option<&Address>,
        is_asking: bool,
        name: &'static str,
        keys: &[&str],
        deadline: Instant,
    ) -> Result<Answer, Error> {
        let pool = self.pool_of(server);
        let mut waiter = match timeout_at(deadline, pool.get()).await {
            Ok(Ok(waiter)) => waiter,
            Ok(Err(RunError::User(error))) => return Err(Error::new(ErrorKind::Unavailable, error.to_string())),
            Ok(Err(RunError::TimedOut)) | Err(_) if pool.state().connections >= self.inner.size => {
                let detail = format!("all {} connections for waiting are in use", self.inner.size);
                return Err(Error::new(ErrorKind::Busy, detail));
            }
            Ok(Err(RunError::TimedOut)) | Err(_) => {
                return Err(Error::new(ErrorKind::Unavailable, "no connection for waiting in time"));
            }
        };
        let left = deadline.saturating_duration_since(Instant::now()).max(SHORTEST);
        let mut args: Vec<Fred> = keys.iter().map(|key| Fred::from(*key)).collect();
        args.push(Fred::from(format!("{:.3}", left.as_secs_f64())));
        let error = match waiter.ask(name, args, is_asking, left + GRACE).await {
            Ok(reply) => return Ok(Answer::Reply(reply)),
            Err(error) => error,
        };
        let from = server.cloned().unwrap_or_else(|| self.seed());
        match Redirect::parse(&error.to_string(), &from) {
            Some(redirect) => Ok(Answer::Elsewhere(redirect, error)),
            // The answer to blocked clients of a server that becomes a replica.
            None if error.code() == Some("UNBLOCKED") => Err(Error::new(ErrorKind::ReadOnly, error.to_string())),
            None => Err(error),
        }
    }

    fn server_of(&self, slot: u16) -> Option<Address> {
        if self.inner.config.topology() != Topology::Cluster {
            return None;
        }
        Some(self.known(|known| known.servers.get(&slot).cloned()).unwrap_or_else(|| self.seed()))
    }

    fn seed(&self) -> Address {
        let hosts = self.inner.config.hosts();
        let (host, port) = &hosts[rand::random_range(0..hosts.len())]; // a URL has at least one
        Address { host: host.clone(), port: *port }
    }

    fn pool_of(&self, server: Option<&Address>) -> Pool<Maker> {
        let make = || {
            let maker = Maker { config: self.inner.config.clone(), role: self.inner.role, server: server.cloned() };
            // bb8 would retry until its time-out; here the caller decides about retries.
            Pool::builder().max_size(self.inner.size).retry_connection(false).build_unchecked(maker)
        };
        self.known(|known| known.pools.entry(server.cloned()).or_insert_with(make).clone())
    }

    /// Removes the pool of a server that no known slot needs. Waits there continue. Pools of the
    /// URL's servers are kept.
    fn forget(&self, server: Option<&Address>) {
        let hosts = self.inner.config.hosts();
        if server.is_some_and(|server| !hosts.contains(&(server.host.clone(), server.port))) {
            self.known(|known| known.pools.remove(&server.cloned()));
        }
    }

    fn known<T>(&self, look: impl FnOnce(&mut Known) -> T) -> T {
        look(&mut self.inner.known.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl fmt::Debug for BlockingPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner { config, role, size, .. } = &*self.inner;
        f.debug_struct("BlockingPool")
            .field("config", config)
            .field("role", role)
            .field("size", size)
            .finish_non_exhaustive()
    }
}
