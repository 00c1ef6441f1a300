//! A lock that one of many processes holds, for work that should not be done twice.

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

/// A key that is held: it has our token as its value, and expires.
///
/// It saves work; it does not make anything safe. A holder that pauses longer than the time to live goes on believing that
/// it holds it, and a failover can forget it. What must not happen twice needs a fencing number (`tidegate-sync`).
///
/// Dropping it does not release it: it expires, or is [released](Self::release).
#[derive(Clone, Debug)]
pub struct Mutex {
    client: Client,
    key: String,
    token: String,
}

impl Mutex {
    /// Takes the lock if nobody has it. `token` tells holders apart, so it must be new for each of them: see
    /// [`token`](Self::token). `ttl` has a resolution of a millisecond, and at least that.
    ///
    /// `None` when another one has it. One command, which is repeated once if its reply is lost.
    ///
    /// # Errors
    /// [`Error`]. After one of which [`Error::may_have_run`] is true the lock may be held until it expires.
    pub async fn try_acquire(client: &Client, key: &str, token: &str, ttl: Duration) -> Result<Option<Self>, Error> {
        let set = Command::new("SET").key(key).arg(token).arg("NX").arg("GET").arg("PX").arg(millis(ttl)).idempotent();
        let holder = client.execute(set).await?.into_optional_bytes()?;
        // With its own token there it was the repetition of a command that had run.
        let is_ours = holder.is_none_or(|holder| holder == token.as_bytes());
        Ok(is_ours.then(|| Self { client: client.clone(), key: key.to_owned(), token: token.to_owned() }))
    }

    /// A token that no other holder has: 128 random bits.
    pub fn token() -> String {
        format!("{:032x}", rand::random::<u128>())
    }

    /// Lets it expire in `ttl` from now. False when it is held no more.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn extend(&self, ttl: Duration) -> Result<bool, Error> {
        self.compare(&EXTEND, vec![self.token.as_str().into(), millis(ttl).into()]).await
    }

    /// Gives it free. False when it was held no more; another one's lock is not touched.
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
