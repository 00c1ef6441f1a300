//! The client: commands and scripts, each sent once and with a time-out.

mod connect;
mod diagnose;
mod probe;

pub use diagnose::Diagnosis;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use fred::bytes_utils::Str;
use fred::types::Value as Fred;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::availability::Availability;
use crate::command::{Arg, Command};
use crate::config::{Config, Role, Topology};
use crate::error::{Error, ErrorKind};
use crate::script::Script;
use crate::shards::{Shard, Shards};
use crate::slot;
use crate::value::Value;

/// A connection to Redis that survives outages. Cheap to clone; clones share it.
///
/// All commands share one pipelined connection to each server. So no blocking command may be sent
/// on it (see [`BlockingPool`](crate::BlockingPool)). A command is sent **once**: if its reply is
/// lost, the caller gets an error and decides. Only commands and scripts that are declared
/// idempotent are sent a second time, within the same time-out.
#[derive(Clone)]
pub struct Client {
    inner: Arc<Inner>,
}

struct Inner {
    shards: Shards,
    config: Config,
    role: Role,
    timeout: Duration,
    availability: Availability,
    prober: JoinHandle<()>,
    warnings: Vec<String>,
}

/// A primary. It is a handle: after a failover it may refer to a server that is no primary any
/// more.
#[derive(Clone)]
pub struct Node {
    shard: Shard,
    /// A slot that the primary served.
    slot: u16,
}

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.shard.address().fmt(f)
    }
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Node({self})")
    }
}

impl Client {
    /// Sends one command.
    ///
    /// # Errors
    /// [`Error`]. Its kind says whether the command may have run.
    pub async fn execute(&self, command: Command) -> Result<Value, Error> {
        let slot = self.slot_for(command.key_bytes());
        self.send_as(command.is_idempotent, slot, command.name, command.args).await
    }

    /// Runs a script. All keys must share a slot, also outside a cluster, so that a program works
    /// on both.
    ///
    /// # Errors
    /// [`Error`]; of kind `Invalid` if the keys have several slots.
    pub async fn run<K: AsRef<str>>(&self, script: &Script, keys: &[K], args: Vec<Arg>) -> Result<Value, Error> {
        let slot = match keys {
            [_] if self.topology() != Topology::Cluster => Some(0),
            keys => slot::common_slot(keys.iter().map(|key| key.as_ref().as_bytes())),
        };
        let slot = slot.ok_or_else(|| {
            Error::new(ErrorKind::Invalid, format!("script `{}` needs keys, all of one slot", script.name))
        })?;
        let all = keys.iter().map(|key| Arg::from(key.as_ref())).chain(args).collect();
        self.run_in(slot, script, keys.len(), all).await
    }

    /// Runs a script whose keys share that [slot](Self::slot_of). For frequent calls, where the
    /// keys need not be checked each time. `all` contains the keys, `count` of them, followed by
    /// the arguments.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn run_in(&self, slot: u16, script: &Script, count: usize, all: Vec<Arg>) -> Result<Value, Error> {
        let slot = if self.topology() == Topology::Cluster { slot } else { 0 };
        // Clones of `Str` share the text. The digest is cloned once, since all tasks share its
        // reference count.
        let again = all.clone();
        let request = call(&script.digest, count, all);
        match self.send_as(script.is_idempotent, slot, "EVALSHA", request).await {
            // It did not run: the server does not have the script.
            Err(error) if error.code() == Some("NOSCRIPT") => {
                let request = call(&script.source, count, again);
                self.send_as(script.is_idempotent, slot, "EVAL", request).await
            }
            other => other,
        }
    }

    /// Runs a script like [`run_in`](Self::run_in), and directly after it, on the same connection,
    /// another command that asks about the script's writes, such as `WAIT`. Returns both answers.
    ///
    /// # Errors
    /// [`Error`] of either. Nothing is sent a second time.
    pub async fn run_then(
        &self,
        slot: u16,
        script: &Script,
        count: usize,
        all: Vec<Arg>,
        then: Command,
    ) -> Result<(Value, Value), Error> {
        let slot = if self.topology() == Topology::Cluster { slot } else { 0 };
        if !self.inner.availability.admits(slot) {
            return Err(Error::unavailable());
        }
        let send = async |name, request| {
            let answers = self.inner.shards.send_both(slot, (name, request), (then.name, then.args.clone())).await;
            let (first, second) = answers.map_err(|error| self.sorted(slot, &error))?;
            Ok::<_, Error>((Value::from_fred(first), Value::from_fred(second)))
        };
        match send("EVALSHA", call(&script.digest, count, all.clone())).await {
            Err(error) if error.code() == Some("NOSCRIPT") => send("EVAL", call(&script.source, count, all)).await,
            other => other,
        }
    }

    /// Reads a string.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn get(&self, key: &str) -> Result<Option<Bytes>, Error> {
        let slot = self.slot_for(Some(key.as_bytes()));
        if !self.inner.availability.admits(slot) {
            return Err(Error::unavailable());
        }
        self.judge(slot, self.inner.shards.get(slot, key).await)?.into_optional_bytes()
    }

    /// The state of the breaker.
    pub fn availability(&self) -> &Availability {
        &self.inner.availability
    }

    /// Topology of the servers.
    pub fn topology(&self) -> Topology {
        self.inner.config.topology()
    }

    /// Role of the server.
    pub fn role(&self) -> Role {
        self.inner.role
    }

    /// The configuration of the client.
    pub fn config(&self) -> &Config {
        &self.inner.config
    }

    /// Time-out of one command.
    pub fn timeout(&self) -> Duration {
        self.inner.timeout
    }

    /// Warnings of the check at start, such as missing persistence.
    pub fn warnings(&self) -> &[String] {
        &self.inner.warnings
    }

    /// The slot of a key in a cluster. One command or script may use several keys of one slot.
    pub fn slot_of(key: &str) -> u16 {
        slot::slot_of(key.as_bytes())
    }

    /// The known primaries: one, or several in a cluster.
    pub fn primaries(&self) -> Vec<Node> {
        let shards = self.inner.shards.all().into_iter();
        // A primary without a slot has no keys either.
        shards.filter_map(|shard| Some(Node { slot: self.inner.shards.slot_of(&shard)?, shard })).collect()
    }

    /// The primary of the key, as far as is known.
    pub fn primary_of(&self, key: &str) -> Option<Node> {
        let slot = self.slot_for(Some(key.as_bytes()));
        Some(Node { shard: self.inner.shards.of(slot)?, slot })
    }

    /// Sends a command to that primary, whatever its keys. Redirections are not followed.
    ///
    /// # Errors
    /// [`Error`]; also if the node is no primary any more.
    pub async fn execute_on(&self, node: &Node, command: Command) -> Result<Value, Error> {
        if !self.inner.availability.admits(node.slot) {
            return Err(Error::unavailable());
        }
        let call = node.shard.connection().send(command.name, command.args);
        self.judge(node.slot, call.telling(&self.inner.availability, node.slot).await)
    }

    /// Ends the background tasks of the client. The connections close with the last clone.
    pub fn close(&self) {
        self.inner.prober.abort();
    }

    /// The connections.
    pub(crate) fn shards(&self) -> &Shards {
        &self.inner.shards
    }

    fn slot_for(&self, key: Option<&[u8]>) -> u16 {
        match key {
            Some(key) if self.topology() == Topology::Cluster => slot::slot_of(key),
            _ => 0,
        }
    }

    async fn send(&self, slot: u16, name: &'static str, args: Vec<Fred>) -> Result<Value, Error> {
        if !self.inner.availability.admits(slot) {
            return Err(Error::unavailable());
        }
        self.judge(slot, self.inner.shards.send(slot, name, args).await)
    }

    async fn send_as(
        &self,
        is_idempotent: bool,
        slot: u16,
        name: &'static str,
        args: Vec<Fred>,
    ) -> Result<Value, Error> {
        if is_idempotent { self.send_twice(slot, name, args).await } else { self.send(slot, name, args).await }
    }

    /// Sends a command. Sends it again if the reply was lost and the server is available before the
    /// time-out ends.
    async fn send_twice(&self, slot: u16, name: &'static str, args: Vec<Fred>) -> Result<Value, Error> {
        let deadline = Instant::now() + self.inner.timeout;
        let first = match self.send(slot, name, args.clone()).await {
            Err(error) if matches!(error.kind(), ErrorKind::Disconnected | ErrorKind::ReadOnly) => error,
            other => return other,
        };
        let mut available = self.inner.availability.watch();
        let is_back = async { while !self.inner.availability.admits(slot) && available.changed().await.is_ok() {} };
        if tokio::time::timeout_at(deadline, is_back).await.is_err() {
            return Err(first);
        }
        match self.send(slot, name, args).await {
            // That the second was not sent says nothing about the first, which may have run.
            Err(second) if matches!(second.kind(), ErrorKind::Unavailable | ErrorKind::Busy) => Err(first),
            other => other,
        }
    }

    fn judge(&self, slot: u16, answer: Result<Fred, fred::error::Error>) -> Result<Value, Error> {
        answer.map(Value::from_fred).map_err(|error| self.sorted(slot, &error))
    }

    /// Converts an error, and opens the breaker if it is an outage.
    fn sorted(&self, slot: u16, error: &fred::error::Error) -> Error {
        let error = match Error::from_fred(error) {
            error if error.kind() == ErrorKind::Timeout => Error::timeout(self.inner.timeout),
            error => error,
        };
        if error.is_outage() {
            self.inner.availability.report(slot);
        }
        error
    }
}

/// The arguments of `EVALSHA` and `EVAL`.
fn call(script: &Str, count: usize, all: Vec<Arg>) -> Vec<Fred> {
    let mut request = Vec::with_capacity(2 + all.len());
    request.extend([Fred::String(script.clone()), Arg::from(count).0]);
    request.extend(all.into_iter().map(|arg| arg.0));
    request
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.prober.abort();
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("config", &self.inner.config)
            .field("role", &self.inner.role)
            .finish_non_exhaustive()
    }
}
