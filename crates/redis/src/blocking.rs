//! Commands that wait at the server, on connections of their own.

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

/// How much longer than agreed an answer may take before its connection is taken for dead.
const GRACE: Duration = Duration::from_secs(1);
/// Servers of a cluster that are asked in turn.
const HOPS: u32 = 5;
/// The shortest wait; zero would be for ever.
const SHORTEST: Duration = Duration::from_millis(1);

/// Connections on which a command may wait: one for each that waits at the same time, up to `size` to each primary.
///
/// Made when they are needed. One that was lost, whose answer is overdue by a second, or on which a wait was given up, is
/// thrown away and another one made, so that none is ever used that has gone deaf.
///
/// # What it does not guarantee
///
/// **That a popped element arrives.** When the future is dropped, or the connection lost, just as the server has popped, the
/// element is gone. So use it for wake-up tokens, which carry no data, and look for the work itself elsewhere.
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

/// What was learnt from answers.
#[derive(Default)]
struct Known {
    /// `None` is what the URL names.
    pools: HashMap<Option<Address>, Pool<Maker>>,
    /// Who serves a slot of a cluster.
    servers: HashMap<u16, Address>,
}

/// One server's answer.
enum Answer {
    Reply(Value),
    /// The error says the same in the server's words.
    Elsewhere(Redirect, Error),
}

impl BlockingPool {
    /// A pool that makes its first connection when it is needed.
    ///
    /// `size` is how many may wait at once at one primary; more wait for their turn. At least one.
    pub fn new(config: &Config, role: Role, size: u32) -> Self {
        let (known, storms) = (Mutex::new(Known::default()), StormLog::default());
        Self { inner: Arc::new(Inner { config: config.clone(), role, size: size.max(1), known, storms }) }
    }

    /// Takes the first element of the first list that has one; waits up to `timeout` for it. The keys share one slot.
    ///
    /// `None` when nothing came. May be dropped at any time: the server then forgets the wait.
    ///
    /// # Errors
    /// `Busy` when no connection became free within `timeout`, `Unavailable` when none can be made, `Timeout` when the answer is
    /// overdue by a second, `Invalid` for keys of several slots, `ReadOnly` when the server has become a replica.
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

    /// Asks the slot's server, wherever it is.
    async fn wait(&self, slot: u16, name: &'static str, keys: &[&str], deadline: Instant) -> Result<Value, Error> {
        let mut server = self.server_of(slot);
        let (mut is_asking, mut last) = (false, String::new());
        for _ in 0..=HOPS {
            let answer = self.wait_at(server.as_ref(), is_asking, name, keys, deadline).await;
            let answer = answer.inspect_err(|error| {
                // The slot may be another server's by now; the next wait begins with those of the URL.
                if error.kind() != ErrorKind::Busy {
                    self.known(|known| known.servers.remove(&slot));
                }
                // One that can't be reached may be gone for good; if not, its pool is made anew.
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
            // What a server says to those who wait when it becomes a replica.
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
            // bb8 would go on trying until its time-out; whoever waits decides that here.
            Pool::builder().max_size(self.inner.size).retry_connection(false).build_unchecked(maker)
        };
        self.known(|known| known.pools.entry(server.cloned()).or_insert_with(make).clone())
    }

    /// Drops the pool of a server that none of the known slots needs; who waits there goes on. The URL's own stay.
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
