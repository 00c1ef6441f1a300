//! Redis, where a node uses it: one client for each use, so that each has its own patience.

use tidegate_redis::{Client, ConnectError, Keyspace, Role};
use tidegate_settings::RedisSettings;

/// What a node has of Redis. Cheap to clone; clones share the connections.
#[derive(Debug, Clone)]
pub struct Redis {
    queue: Client,
    limits: Client,
    cache: Client,
    has_cache_server: bool,
    rewrites_append_only_file: bool,
    keyspace: Keyspace,
}

/// There is no usable Redis at the URL of a setting.
#[derive(Debug, thiserror::Error)]
#[error("{setting} ({variable}): {source}")]
pub struct Unusable {
    setting: &'static str,
    variable: &'static str,
    source: ConnectError,
}

impl Unusable {
    /// Whether the URL itself is to blame, or a file that it names, and not the server.
    pub fn is_a_setting(&self) -> bool {
        matches!(self.source, ConnectError::Config(_))
    }

    /// Whether the server refuses the login.
    pub fn refuses_login(&self) -> bool {
        matches!(self.source, ConnectError::Login { .. })
    }

    /// Whether the server may be usable later, without a change of settings.
    pub fn is_transient(&self) -> bool {
        self.source.is_transient()
    }
}

impl Redis {
    /// Connects everything, or nothing.
    ///
    /// # Errors
    ///
    /// When a server can't be reached, or is not fit for its use.
    pub async fn connect(settings: &RedisSettings) -> Result<Self, Unusable> {
        let servers = &settings.servers;
        let queue = connect("redis.url", "REDIS_URL", &servers.queue, Role::Durable).await?;
        // The same server again: an answer that a request waits for must not wait for the queue's patience.
        let limits = connect("redis.url", "REDIS_URL", &servers.limits, Role::Durable).await?;
        let cache = match &servers.cache {
            Some(config) => connect("redis.cache_url", "REDIS_CACHE_URL", config, Role::Cache).await?,
            // One client for both, and so one breaker: a request finds out once that Redis is away.
            None => limits.clone(),
        };
        let has_cache_server = servers.cache.is_some();
        let (keyspace, rewrites_append_only_file) = (settings.keyspace.clone(), settings.rewrites_append_only_file);
        let redis = Self { queue, limits, cache, has_cache_server, rewrites_append_only_file, keyspace };
        for warning in redis.servers().into_iter().flat_map(Client::warnings) {
            tracing::warn!("Redis: {warning}");
        }
        Ok(redis)
    }

    /// For jobs.
    pub fn queue(&self) -> &Client {
        &self.queue
    }

    /// For limits: on the server of the jobs, with less patience.
    pub fn limits(&self) -> &Client {
        &self.limits
    }

    /// For the shared tier of the cache: that of the limits, unless the cache has a server of its own.
    pub fn cache(&self) -> &Client {
        &self.cache
    }

    /// The keys of this installation.
    pub fn keyspace(&self) -> &Keyspace {
        &self.keyspace
    }

    /// Each use by its name.
    pub fn uses(&self) -> [(&'static str, &Client); 3] {
        [("queue", &self.queue), ("limits", &self.limits), ("cache", &self.cache)]
    }

    /// Whether every server answers, as far as is known.
    pub fn is_available(&self) -> bool {
        self.uses().iter().all(|(_, client)| client.availability().is_available())
    }

    /// One client for each server or group of servers.
    pub fn servers(&self) -> Vec<&Client> {
        let cache = self.has_cache_server.then_some(&self.cache);
        [Some(&self.queue), cache].into_iter().flatten().collect()
    }

    /// Whether restarted servers are asked to write their append-only file anew.
    pub fn rewrites_append_only_file(&self) -> bool {
        self.rewrites_append_only_file
    }

    /// Ends what the clients do by themselves.
    pub fn close(&self) {
        for (_, client) in self.uses() {
            client.close();
        }
    }
}

impl std::fmt::Display for Redis {
    /// Where it is, passwords masked.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.queue.config())?;
        if self.has_cache_server {
            write!(f, " (cache: {})", self.cache.config())?;
        }
        Ok(())
    }
}

async fn connect(
    setting: &'static str,
    variable: &'static str,
    config: &tidegate_redis::Config,
    role: Role,
) -> Result<Client, Unusable> {
    Client::connect(config, role).await.map_err(|source| Unusable { setting, variable, source })
}
