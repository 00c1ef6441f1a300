//! Requests rewrites of append-only files that keep torn scripts.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tidegate_base::LogThrottle;
use tidegate_outgoing::redis::Redis;
use tidegate_redis::{Command, Error};

/// Interval of log lines about a server that does not allow a rewrite.
const COMPLAINT: Duration = Duration::from_mins(10);
/// Prefix of the mark of a run until the server has accepted the rewrite.
const ASKED: &str = "asked";
/// Expiry of such a mark in milliseconds. Below the interval of the readings, so that the next
/// reading tries again.
const ASKED_FOR_MS: u64 = 30_000;

/// The rewrites that this process has requested.
#[derive(Debug)]
pub(super) struct Rewrites {
    /// By address, the run of each durable server that needs no further request.
    runs: Mutex<BTreeMap<String, String>>,
    complaints: LogThrottle,
}

impl Rewrites {
    pub(super) fn new() -> Self {
        Self { runs: Mutex::default(), complaints: LogThrottle::new(COMPLAINT) }
    }

    /// Requests a rewrite of the append-only file from each durable server that is new or was
    /// restarted, if it keeps torn scripts there.
    pub(super) async fn request(&self, redis: &Redis) {
        if !redis.rewrites_append_only_file() {
            return;
        }
        for server in redis.queue().info().await {
            let (Some(run), Some(name)) = (server.run_id, server.keeps_torn_scripts) else { continue };
            if self.runs().get(&server.address) == Some(&run) {
                continue;
            }
            match Self::request_of(redis, &server.address, &run).await {
                Ok(true) => drop(self.runs().insert(server.address, run)),
                // Another process has just sent the request. The next reading shows the result.
                Ok(false) => {}
                Err(error) => {
                    // Only an operator can change it, so it is logged once for each run.
                    let is_forbidden = error.code() == Some("NOPERM");
                    if is_forbidden || self.complaints.count().is_some() {
                        tracing::warn!(
                            server = server.address,
                            will_retry = !is_forbidden,
                            "{name} can't be asked to write its append-only file anew, so remains of a torn script may \
                             stay in it; run BGREWRITEAOF after each restart (docs/concepts/torn-aof.md): {error}"
                        );
                    }
                    if is_forbidden {
                        self.runs().insert(server.address, run);
                    }
                }
            }
        }
    }

    /// Requests a rewrite of the append-only file, unless a process has done so in this run.
    /// Returns whether the request was accepted; `false` while another process makes it.
    async fn request_of(redis: &Redis, address: &str, run: &str) -> Result<bool, Error> {
        let key = redis.keyspace().group("rewritten", &[address]);
        let asked = format!("{ASKED} {run}");
        let is_known = |mark: &Option<Bytes>, text: &str| mark.as_deref() == Some(text.as_bytes());
        let queue = redis.queue();
        let get = Command::new("GET").key(key.as_str()).idempotent();
        let before = queue.execute(get).await?.into_optional_bytes()?;
        if is_known(&before, run) || is_known(&before, &asked) {
            return Ok(is_known(&before, run));
        }
        let set = Command::new("SET").key(key.as_str()).arg(asked.as_str());
        let set = set.arg("GET").arg("PX").arg(ASKED_FOR_MS);
        let before = queue.execute(set).await?.into_optional_bytes()?;
        if is_known(&before, &asked) {
            return Ok(false);
        }
        match queue.rewrite_append_only_file(address).await {
            Ok(()) => tracing::info!(server = address, "Redis rewrites its append-only file"),
            Err(error) if error.to_string().contains("already in progress") => {}
            Err(error) => return Err(error),
        }
        queue.execute(Command::new("SET").key(key.as_str()).arg(run).idempotent()).await?;
        Ok(true)
    }

    fn runs(&self) -> MutexGuard<'_, BTreeMap<String, String>> {
        self.runs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
