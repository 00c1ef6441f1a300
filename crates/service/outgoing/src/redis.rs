//! The Redis clients of a node: one client for each use, each with its own timeouts.

use tidegate_redis::{Client, ConnectError, Keyspace, Role};
use tidegate_settings::RedisSettings;

/// The Redis clients of a node. Cheap to clone; clones share the connections.
#[derive(Debug, Clone)]
pub struct Redis {
    queue: Client,
    limits: Client,
    cache: Client,
    has_cache_server: bool,
    rewrites_append_only_file: bool,
    keyspace: Keyspace,
}

/// Redis at the URL of a setting can't be used.
#[derive(Debug, thiserror::Error)]
#[error("{setting} ({variable}): {source}")]
pub struct Unusable {
    setting: &'static str,
    variable: &'static str,
    source: ConnectError,
}

impl Unusable {
    /// Whether the cause is the URL itself or a file that it names, not the server.
    pub fn is_a_setting(&self) -> bool {
        matches!(self.source, ConnectError::Config(_))
    }

    /// Whether the server refuses the login.
    pub fn refuses_login(&self) -> bool {
        matches!(self.source, ConnectError::Login { .. })
    }

    /// Whether the server may become usable without a change of settings.
    pub fn is_transient(&self) -> bool {
        self.source.is_transient()
    }
}

impl Redis {
    /// Connects all clients. Fails if one of them can't connect.
    ///
    /// # Errors
    ///
    /// [`Unusable`] if a server can't be reached or is not suitable for its use.
    pub async fn connect(settings: &RedisSettings) -> Result<Self, Unusable> {
        let servers = &settings.servers;
        let queue = connect("redis.url", "REDIS_URL", &servers.queue, Role::Durable).await?;
        // The same server again: an answer that a request waits for needs a shorter timeout than
        // the queue's.
        let limits = connect("redis.url", "REDIS_URL", &servers.limits, Role::Durable).await?;
        let cache = match &servers.cache {
            Some(config) => connect("redis.cache_url", "REDIS_CACHE_URL", config, Role::Cache).await?,
            // One client for both, with one circuit breaker: a request detects an outage of Redis
            // only once.
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

    /// The client for jobs.
    pub fn queue(&self) -> &Client {
        &self.queue
    }

    /// The client for limits: on the server of the jobs, with shorter timeouts.
    pub fn limits(&self) -> &Client {
        &self.limits
    }

    /// The client for the shared tier of the cache. It is the client of the limits, unless the
    /// cache has a separate server.
    pub fn cache(&self) -> &Client {
        &self.cache
    }

    /// The key prefix of this installation.
    pub fn keyspace(&self) -> &Keyspace {
        &self.keyspace
    }

    /// Returns each use with its name.
    pub fn uses(&self) -> [(&'static str, &Client); 3] {
        [("queue", &self.queue), ("limits", &self.limits), ("cache", &self.cache)]
    }

    /// Whether every server answers, as far as is known.
    pub fn is_available(&self) -> bool {
        self.uses().iter().all(|(_, client)| client.availability().is_available())
    }

    /// Returns one client for each server or group of servers.
    pub fn servers(&self) -> Vec<&Client> {
        let cache = self.has_cache_server.then_some(&self.cache);
        [Some(&self.queue), cache].into_iter().flatten().collect()
    }

    /// Whether restarted servers are requested to rewrite their append-only file.
    pub fn rewrites_append_only_file(&self) -> bool {
        self.rewrites_append_only_file
    }

    /// Stops the background work of the clients.
    pub fn close(&self) {
        for (_, client) in self.uses() {
            client.close();
        }
    }
}

impl std::fmt::Display for Redis {
    /// Writes the URLs, with masked passwords.
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
