//! The append-only file of a server: which servers lose writes after a torn file, and how to
//! rewrite it.

use crate::client::Client;
use crate::command::Command;
use crate::error::Error;
use crate::info::Fields;

/// The first Valkey that removes a torn script from its file completely.
const MENDED_VALKEY: (u32, u32, u32) = (9, 1, 2);

/// Name and version of a server that keeps the first part of a torn script in its append-only file.
/// Every Redis counts as one until a fixed version is known. `None` if the server has no such file,
/// or is a fixed Valkey.
pub(crate) fn keeps_torn_scripts(info: &Fields<'_>) -> Option<String> {
    if info.text("aof_enabled") != Some("1") {
        return None;
    }
    if let Some(version) = info.text("valkey_version") {
        let release = numbers(version)?;
        let is_before = release < MENDED_VALKEY || release == MENDED_VALKEY && version.contains('-');
        return is_before.then(|| format!("Valkey {version}"));
    }
    info.text("redis_version").map(|version| format!("Redis {version}"))
}

fn numbers(version: &str) -> Option<(u32, u32, u32)> {
    let mut parts = version.split(['.', '-']).map(|part| part.parse().ok());
    Some((parts.next()??, parts.next()??, parts.next().flatten().unwrap_or(0)))
}

/// Advice for the operator of a server that keeps part of a torn script.
pub(crate) fn advice(address: &str, server: &str) -> String {
    format!(
        "{address} ({server}) can lose acknowledged writes after two crashes: when the first one tears its append-only \
         file, the server keeps half of a script in the file and runs it at the next start; run `redis-check-aof --fix` \
         before each start, set `aof-load-truncated no`, or use Valkey 9.1.2; no mended Redis is known, and the fault is \
         known up to 8.6.3 (docs/concepts/torn-aof.md)"
    )
}

impl Client {
    /// Makes a primary rewrite its append-only file, which removes the remains of a torn script.
    /// Returns when the server has started; the server continues in the background.
    ///
    /// # Errors
    /// [`Error`]; with the code `NOPERM` if the account is not allowed to do so.
    pub async fn rewrite_append_only_file(&self, address: &str) -> Result<(), Error> {
        let Some(node) = self.primaries().into_iter().find(|node| node.to_string() == address) else {
            return Err(Error::unavailable());
        };
        self.execute_on(&node, Command::new("BGREWRITEAOF")).await.map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Option<String> {
        keeps_torn_scripts(&Fields::parse(&format!("aof_enabled:1\n{text}\n")))
    }

    #[test]
    fn names_the_servers_that_keep_half_of_a_torn_script() {
        for version in ["7.0.15", "7.2.4", "8.0.6", "8.6.3", "8.6.4", "8.6", "9.0.0-rc1", "unknown"] {
            assert_eq!(found(&format!("redis_version:{version}")), Some(format!("Redis {version}")));
        }
        for version in ["8.0.1", "9.0.4", "9.1.1", "9.1.1-rc1", "9.1.2-rc1"] {
            let text = format!("redis_version:7.2.4\nserver_name:valkey\nvalkey_version:{version}");
            assert_eq!(found(&text), Some(format!("Valkey {version}")));
        }
        for version in ["9.1.2", "9.1.3-rc1", "9.2.0", "10.0.0"] {
            assert_eq!(found(&format!("redis_version:7.2.4\nvalkey_version:{version}")), None);
        }
        assert_eq!(keeps_torn_scripts(&Fields::parse("aof_enabled:0\nredis_version:7.0.15")), None);
    }
}
