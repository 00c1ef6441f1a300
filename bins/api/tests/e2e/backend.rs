//! The backend of a test's processes: a directory alone, or Redis in one of its arrangements too.

use std::cell::Cell;

use tidegate_testkit::redis::{Cluster, RedisServer, Sentinels};

/// Location of queue, limits and shared cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Backend {
    /// In the directory and in memory.
    Embedded,
    /// On one server.
    RedisSingle,
    /// On the primary that three Sentinels choose.
    RedisSentinel,
    /// On three primaries with a replica each.
    RedisCluster,
}

thread_local! {
    /// A test runs on one thread, with its runtime.
    static CHOSEN: Cell<Backend> = const { Cell::new(Backend::Embedded) };
}

/// Runs a test of the embedded default on another backend: all that it starts gets that one.
pub(crate) fn on(backend: Backend, test: fn()) {
    CHOSEN.set(backend);
    test();
}

/// Whether the running test's processes share a cache.
pub(crate) fn is_shared() -> bool {
    CHOSEN.get() != Backend::Embedded
}

/// The servers of a test. They end with it.
#[expect(clippy::large_enum_variant, reason = "a test holds one or two")]
pub(crate) enum Servers {
    Embedded,
    /// The servers at that URL, which the test owns.
    At(String),
    Single(RedisServer),
    Sentinel(Sentinels),
    Cluster(Cluster),
}

impl Servers {
    /// Starts what the running test was given.
    pub(crate) async fn start() -> Self {
        match CHOSEN.get() {
            Backend::Embedded => Self::Embedded,
            Backend::RedisSingle => Self::Single(RedisServer::start().await),
            Backend::RedisSentinel => Self::Sentinel(Sentinels::start().await),
            Backend::RedisCluster => Self::Cluster(Cluster::start().await),
        }
    }

    /// Returns the variables for a process that uses them.
    pub(crate) fn variables(&self) -> Vec<(&'static str, String)> {
        let url = match self {
            Self::Embedded => return Vec::new(),
            Self::At(url) => url.clone(),
            Self::Single(server) => server.url(),
            Self::Sentinel(sentinels) => sentinels.url(),
            Self::Cluster(cluster) => cluster.url(),
        };
        // A busy machine answers late, and the process alone admits a client that limits don't wait
        // for. So they wait as long as the client does.
        vec![("REDIS_URL", url), ("TIDEGATE_LIMIT_PATIENCE", "10s".to_owned())]
    }
}
