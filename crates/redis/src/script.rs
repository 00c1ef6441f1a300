//! Scripts, which the server runs as one step.

use std::borrow::Cow;

use data_encoding::HEXLOWER;
use fred::bytes_utils::Str;
use sha1::{Digest, Sha1};

/// A Lua script.
///
/// Sent by its digest. If a server doesn't know it (after `SCRIPT FLUSH`, a restart or a failover),
/// the client sends the source once. Create a script once and keep it: creating it copies the
/// source and computes the digest.
#[derive(Clone, Debug)]
pub struct Script {
    pub(crate) name: &'static str,
    pub(crate) source: Str,
    pub(crate) digest: Str,
    pub(crate) is_idempotent: bool,
}

impl Script {
    /// Creates a script. `name` is for errors and logs.
    pub fn new(name: &'static str, source: impl Into<String>) -> Self {
        let source = source.into();
        let digest = HEXLOWER.encode(&Sha1::digest(source.as_bytes()));
        Self { name, source: Str::from(source), digest: Str::from(digest), is_idempotent: false }
    }

    /// Creates a script that reads the time: `clock` defines the function `now_us()`.
    pub fn timed(name: &'static str, body: &str, clock: &ClockPrelude) -> Self {
        Self::new(name, format!("{}\n{body}", clock.source))
    }

    /// Declares that running it twice with the same arguments has the same effect as once. It is
    /// then sent again if the reply was lost.
    #[must_use]
    pub fn idempotent(mut self) -> Self {
        self.is_idempotent = true;
        self
    }

    /// Allows it to run on a server that has reached `maxmemory`. For scripts that free memory or
    /// move existing data: such a script may write at most as much as it frees, or a limited
    /// amount.
    ///
    /// A full server refuses any other script with the code `OOM`, at its first command that may
    /// need memory.
    #[must_use]
    pub fn allow_oom(self) -> Self {
        self.headed("#!lua flags=allow-oom")
    }

    /// Makes a server that has reached `maxmemory` refuse it before it runs. For scripts that need
    /// memory after their first write: otherwise the server accepts all commands after that write.
    #[must_use]
    pub fn refuse_oom(self) -> Self {
        self.headed("#!lua")
    }

    fn headed(self, line: &str) -> Self {
        let script = Self::new(self.name, format!("{line}\n{}", self.source));
        Self { is_idempotent: self.is_idempotent, ..script }
    }

    /// Its name.
    pub fn name(&self) -> &'static str {
        self.name
    }
}

/// Lua code before a script that defines `now_us()`: microseconds since 1970, as a whole number.
#[derive(Clone, Debug)]
pub struct ClockPrelude {
    source: Cow<'static, str>,
}

impl ClockPrelude {
    /// The server's clock, which all clients share.
    pub const SERVER: Self = Self { source: Cow::Borrowed(include_str!("lua/server_clock.lua")) };

    /// A clock for tests, whose time is the value of a key. Not for a cluster, since the key is not
    /// declared.
    #[doc(hidden)]
    pub fn from_key(key: &str) -> Self {
        Self { source: Cow::Owned(format!("local function now_us() return tonumber(redis.call('GET', '{key}')) end")) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digest_is_the_one_that_the_server_computes() {
        // SCRIPT LOAD "return 1"
        assert_eq!(&*Script::new("one", "return 1").digest, "e0e1f9fabfc9d4800c877a703b823ac0578ff8db");
    }

    #[test]
    fn the_flag_is_the_first_line_and_changes_the_digest() {
        let script = Script::new("one", "return 1").idempotent();
        let allowed = script.clone().allow_oom();
        assert_eq!(&*allowed.source, "#!lua flags=allow-oom\nreturn 1");
        assert_ne!(allowed.digest, script.digest);
        assert!(allowed.is_idempotent);
    }

    #[test]
    fn the_clock_stands_in_front() {
        let script = Script::timed("time", "return now_us()", &ClockPrelude::SERVER);
        assert!(script.source.starts_with("-- "));
        assert!(script.source.ends_with("\nreturn now_us()"));
    }
}
