//! A lock shared by processes, for work that should not be done twice.

use std::sync::LazyLock;
use std::time::Duration;

use crate::client::Client;
use crate::command::{Arg, Command};
use crate::error::Error;
use crate::script::Script;

static RELEASE: LazyLock<Script> =
    LazyLock::new(|| Script::new("mutex-release", include_str!("mutex/lua/release.lua")).idempotent());
static EXTEND: LazyLock<Script> =
    LazyLock::new(|| Script::new("mutex-extend", include_str!("mutex/lua/extend.lua")).idempotent());

/// A lock that is held: a key whose value is our token, with an expiry.
///
/// It saves duplicate work; it does not guarantee exclusion. A holder that pauses for longer than
/// the time to live still assumes that it holds the lock, and a failover can lose the lock. Work
/// that must not be done twice needs a fencing number (`tidegate-sync`).
///
/// Dropping it does not release the lock: it expires, or is [released](Self::release).
#[derive(Clone, Debug)]
pub struct Mutex {
    client: Client,
    key: String,
    token: String,
}

impl Mutex {
    /// Acquires the lock if it is free. `token` identifies the holder, so each holder needs its
    /// own: see [`token`](Self::token). `ttl` is in whole milliseconds, at least one.
    ///
    /// `None` if another holder has it. One command, repeated once if its reply is lost.
    ///
    /// # Errors
    /// [`Error`]. If [`Error::may_have_run`] is true, the lock may be held until it expires.
    pub async fn try_acquire(client: &Client, key: &str, token: &str, ttl: Duration) -> Result<Option<Self>, Error> {
        let set = Command::new("SET").key(key).arg(token).arg("NX").arg("GET").arg("PX").arg(millis(ttl)).idempotent();
        let holder = client.execute(set).await?.into_optional_bytes()?;
        // If the key has our own token, this was the repetition of a command that had run.
        let is_ours = holder.is_none_or(|holder| holder == token.as_bytes());
        Ok(is_ours.then(|| Self { client: client.clone(), key: key.to_owned(), token: token.to_owned() }))
    }

    /// A unique token: 128 random bits.
    pub fn token() -> String {
        format!("{:032x}", rand::random::<u128>())
    }

    /// Extends the lock to `ttl` from now. Returns false if it is not held any more.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn extend(&self, ttl: Duration) -> Result<bool, Error> {
        self.compare(&EXTEND, vec![self.token.as_str().into(), millis(ttl).into()]).await
    }

    /// Releases the lock. Returns false if it was not held any more; the lock of another holder is
    /// not changed.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn release(&self) -> Result<bool, Error> {
        self.compare(&RELEASE, vec![self.token.as_str().into()]).await
    }

    /// The key.
    pub fn key(&self) -> &str {
        &self.key
    }

    async fn compare(&self, script: &Script, args: Vec<Arg>) -> Result<bool, Error> {
        Ok(self.client.run(script, &[self.key.as_str()], args).await?.as_int()? == 1)
    }
}

fn millis(ttl: Duration) -> u64 {
    u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX).clamp(1, 1 << 52)
}
