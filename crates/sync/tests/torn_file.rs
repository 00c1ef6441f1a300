//! State after a crash that tears the append-only file, and behaviour of a full server.
//!
//! The server ignores the script that a crash has torn, but keeps its first effects in the file.
//! They are executed at the next restart, before everything that was acknowledged since. Each
//! prefix of a script's effects is therefore replayed, alone and before another script that did not
//! know it.
#![cfg(feature = "redis")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test ends where it is surprised")]

#[path = "support/children.rs"]
mod children;
#[path = "torn_file/extensions.rs"]
mod extensions;
#[path = "torn_file/full.rs"]
mod full;
#[path = "torn_file/partitions.rs"]
mod partitions;
mod support;
#[path = "torn_file/torn.rs"]
mod torn;

use std::sync::Arc;
use std::time::Duration;

use children::again;
use support::{connect, keyspace};
use tidegate_redis::{Client, ClockPrelude, Command};
use tidegate_sync::RedisStore;
use tidegate_testkit::redis::{Effect, RedisServer, RedisServerBuilder};

/// A store with its own server, whose scripts read the time from a key.
struct TornBench {
    server: RedisServer,
    client: Client,
    store: Arc<RedisStore>,
}

impl TornBench {
    async fn start(builder: RedisServerBuilder) -> Self {
        let server = builder.start().await;
        let client = connect(server.url()).await;
        let store = RedisStore::with_clock(client.clone(), keyspace(), &ClockPrelude::from_key("clock"));
        let bench = Self { server, client, store: Arc::new(store) };
        bench.set_clock(1_700_000_000_000_000).await;
        bench
    }

    async fn set_clock(&self, micros: u64) {
        self.client.execute(Command::new("SET").key("clock").arg(micros)).await.unwrap();
    }

    async fn advance(&self, by: Duration) {
        let micros = u64::try_from(by.as_micros()).unwrap();
        self.client.execute(Command::new("INCRBY").key("clock").arg(micros)).await.unwrap();
    }

    /// Runs `torn` after the current state, and `next` in its place. Then replays each prefix of
    /// the effects of `torn`, alone and followed by those of `next`, and calls `holds` to check the
    /// state. Restores the previous state.
    async fn tear(
        &self,
        torn: impl AsyncFn(Arc<RedisStore>),
        next: impl AsyncFn(Arc<RedisStore>),
        holds: impl AsyncFn(Arc<RedisStore>, Replayed),
    ) {
        let written = self.server.append_only_file().effects();
        // A replay begins with an empty server.
        let emptied = written.iter().rposition(|effect| effect.name() == "FLUSHALL").map_or(0, |at| at + 1);
        let base = written[emptied..].to_vec();
        torn(self.store.clone()).await;
        let lost = self.server.effects_since(written.len());
        assert!(!lost.is_empty(), "the script has effects");
        self.replay(&base, &[], &[]).await;
        let written = self.server.append_only_file().effects().len();
        next(self.store.clone()).await;
        let kept = self.server.effects_since(written);
        for prefix in 0..=lost.len() {
            for later in [&[][..], &kept] {
                self.replay(&base, &lost[..prefix], later).await;
                let replayed = Replayed {
                    effects: format!("{:?}, then {later:?}", &lost[..prefix]),
                    is_torn_done: prefix == lost.len() && later.is_empty(),
                    is_next_done: !later.is_empty(),
                };
                holds(self.store.clone(), replayed).await;
            }
        }
        self.replay(&base, &[], &[]).await;
    }

    async fn replay(&self, base: &[Effect], lost: &[Effect], kept: &[Effect]) {
        self.server.replay(&[base, lost, kept].concat()).await;
    }
}

/// The replayed effects.
struct Replayed {
    effects: String,
    /// Whether the torn script has all its effects, and no other script has replaced them.
    is_torn_done: bool,
    /// Whether the next script was acknowledged.
    is_next_done: bool,
}
