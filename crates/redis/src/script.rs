//! Scripts, which the server runs as one step.

use std::borrow::Cow;

use data_encoding::HEXLOWER;
use fred::bytes_utils::Str;
use sha1::{Digest, Sha1};

/// A Lua script.
///
/// Sent by its digest; where a server doesn't know it, after `SCRIPT FLUSH`, a restart or a failover, it is sent whole, once
/// and unasked. Make it once and keep it: making one copies the source and computes the digest.
#[derive(Clone, Debug)]
pub struct Script {
    pub(crate) name: &'static str,
    pub(crate) source: Str,
    pub(crate) digest: Str,
    pub(crate) is_idempotent: bool,
}

impl Script {
    /// A script; `name` is for errors and logs.
    pub fn new(name: &'static str, source: impl Into<String>) -> Self {
        let source = source.into();
        let digest = HEXLOWER.encode(&Sha1::digest(source.as_bytes()));
        Self { name, source: Str::from(source), digest: Str::from(digest), is_idempotent: false }
    }

    /// A script that asks for the time: `clock` defines its function `now_us()`.
    pub fn timed(name: &'static str, body: &str, clock: &ClockPrelude) -> Self {
        Self::new(name, format!("{}\n{body}", clock.source))
    }

    /// Declares that running it twice with the same arguments is the same as once, so that it is sent a second time when the
    /// reply to the first was lost.
    #[must_use]
    pub fn idempotent(mut self) -> Self {
        self.is_idempotent = true;
        self
    }

    /// Lets it run on a server that has reached `maxmemory`. For scripts that free memory, or that
    /// move what is there: such a script may write only as much as it frees, or a bounded amount.
    ///
    /// Any other script is refused by a full server with the code `OOM`, at its first command that
    /// may take memory.
    #[must_use]
    pub fn allow_oom(self) -> Self {
        self.headed("#!lua flags=allow-oom")
    }

    /// Has it refused by a server that has reached `maxmemory` before it runs. For scripts that
    /// take memory after they have written something else: without this the server lets all that
    /// follows the first write pass.
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

/// The lines in front of a script that define `now_us()`, whole microseconds since 1970.
#[derive(Clone, Debug)]
pub struct ClockPrelude {
    source: Cow<'static, str>,
}

impl ClockPrelude {
    /// The server's clock: the one that all clients share.
    pub const SERVER: Self = Self { source: Cow::Borrowed(include_str!("lua/server_clock.lua")) };

    /// A clock for tests, which stands wherever the key says. Not for a cluster, since the key is not declared.
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
