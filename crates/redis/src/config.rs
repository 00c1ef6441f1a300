//! Where Redis is and how to speak to it: one URL.

mod login;
mod tls;
mod url;

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use fred::types::config::{
    Config as FredConfig, ConnectionConfig, PerformanceConfig, ReconnectPolicy, Server, ServerConfig, TlsConfig,
};
use fred::types::{Builder, RespVersion};

use login::{Login, SharedLogin};
pub use url::ConfigError;

/// What the server is used for, which decides what is checked at start and how long a command may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// Jobs, locks, stock and limits: nothing may be evicted. A command may take 1 s unless the URL says otherwise.
    Durable,
    /// The second tier of the cache: everything may be evicted. A command may take 250 ms unless the URL says otherwise.
    Cache,
}

/// How the servers are arranged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Topology {
    /// One primary, with or without replicas.
    Single,
    /// A primary that Sentinels choose.
    Sentinel,
    /// A cluster.
    Cluster,
}

/// Where Redis or Valkey is and how to speak to it.
///
/// | URL | means |
/// |---|---|
/// | `redis://[user:password@]host[:port][/db]` | one server |
/// | `redis-sentinel://[user:password@]host:port,host:port/name[/db]` | the primary `name` of these Sentinels |
/// | `redis-cluster://[user:password@]host:port,host:port` | a cluster; some of its nodes are enough |
///
/// `valkey…` is the same as `redis…`, and `rediss…` speaks TLS. After a `?` may follow, joined by `&`: `timeout=250ms`
/// for one command, `connect_timeout=2s`, `ca=/path/of.pem` (in place of the system's authorities),
/// `sentinel_user=…` and `sentinel_password=…`. User, password and values are percent-decoded.
///
/// The password is shown nowhere: [`Display`](fmt::Display) and [`Debug`](fmt::Debug) mask it.
///
/// Clones share the login: see [`replace_login`](Self::replace_login).
#[derive(Clone)]
pub struct Config {
    topology: Topology,
    uses_tls: bool,
    hosts: Vec<(String, u16)>,
    /// Name of the primary, with Sentinels.
    service: String,
    login: SharedLogin,
    sentinel_login: Login,
    database: u8,
    authority: Option<PathBuf>,
    timeout: Option<Duration>,
    connect_timeout: Duration,
    allows_eviction: bool,
}

/// Commands that wait in this process at most; the next one fails with kind `Busy`.
const BUFFER: usize = 65_536;
/// Redirections that a command follows in a cluster.
const REDIRECTIONS: u32 = 5;
/// Notices of invalidated keys that wait for their reader; when more come, it is told that it missed some.
const NOTICES: usize = 16_384;

impl Config {
    /// Reads a URL.
    ///
    /// # Errors
    /// Names what is wrong with it, and never repeats the password.
    pub fn parse(text: &str) -> Result<Self, ConfigError> {
        url::parse(text)
    }

    /// Sets the longest time that one command may take.
    #[must_use]
    pub fn command_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Accepts a server that evicts keys for [`Role::Durable`] too: under memory pressure it loses jobs.
    #[must_use]
    pub fn allow_eviction(mut self) -> Self {
        self.allows_eviction = true;
        self
    }

    /// Logs in as `newer` does from the next connection on, in every client that was made of this
    /// configuration or of a clone. Connections that are open stay as they are.
    ///
    /// Returns false, and changes nothing, where `newer` names another place than this one, or
    /// where the primary is found by Sentinels: those clients keep their login.
    pub fn replace_login(&self, newer: &Self) -> bool {
        let place = |config: &Self| {
            let Self { topology, uses_tls, hosts, service, database, .. } = config;
            (*topology, *uses_tls, hosts.clone(), service.clone(), *database)
        };
        if self.topology == Topology::Sentinel || place(self) != place(newer) {
            return false;
        }
        self.login.set(newer.login.get());
        true
    }

    /// How the servers are arranged.
    pub fn topology(&self) -> Topology {
        self.topology
    }

    pub(crate) fn allows_eviction(&self) -> bool {
        self.allows_eviction
    }

    /// Where it is, for messages: hosts and ports.
    pub(crate) fn address(&self) -> String {
        let hosts: Vec<String> = self.hosts.iter().map(|(host, port)| format!("{host}:{port}")).collect();
        hosts.join(",")
    }

    /// Whether it is TLS that is spoken.
    pub(crate) fn uses_tls(&self) -> bool {
        self.uses_tls
    }

    /// The hosts and ports of the URL, at least one.
    pub(crate) fn hosts(&self) -> &[(String, u16)] {
        &self.hosts
    }

    /// How long one command may take.
    pub(crate) fn timeout(&self, role: Role) -> Duration {
        self.timeout.unwrap_or(match role {
            Role::Durable => Duration::from_secs(1),
            Role::Cache => Duration::from_millis(250),
        })
    }

    /// How long the first connection may take.
    pub(crate) fn connect_timeout(&self) -> Duration {
        self.connect_timeout
    }

    /// What the client underneath is built from. `timeout` of zero is none, for connections that wait.
    pub(crate) fn builder(&self, timeout: Duration) -> Result<Builder, ConfigError> {
        let Login { user, password } = self.login.get();
        // With Sentinels, fred would ask the provider for their login too.
        let provider = (self.topology != Topology::Sentinel).then(|| self.login.provider());
        let mut builder = Builder::from_config(FredConfig {
            server: self.servers(),
            username: user,
            password,
            credential_provider: provider,
            version: RespVersion::RESP3,
            database: (self.database != 0).then_some(self.database),
            tls: self.tls()?,
            fail_fast: true,
            ..FredConfig::default()
        });
        // As often as the breaker probes: it can't close before there is a connection.
        builder.set_policy(ReconnectPolicy::new_linear(0, 500, 50));
        builder.set_performance_config(PerformanceConfig {
            default_command_timeout: timeout,
            broadcast_channel_capacity: NOTICES,
            ..PerformanceConfig::default()
        });
        builder.set_connection_config(ConnectionConfig {
            connection_timeout: self.connect_timeout,
            internal_command_timeout: self.connect_timeout,
            max_redirections: REDIRECTIONS,
            max_command_buffer_len: BUFFER,
            auto_client_setname: true,
            reconnect_on_auth_error: true,
            ..ConnectionConfig::default()
        });
        Ok(builder)
    }

    fn servers(&self) -> ServerConfig {
        match self.topology {
            Topology::Single => {
                let (host, port) = &self.hosts[0]; // a URL without a host is refused
                ServerConfig::new_centralized(host.clone(), *port)
            }
            Topology::Cluster => ServerConfig::new_clustered(self.hosts.clone()),
            Topology::Sentinel => ServerConfig::Sentinel {
                hosts: self.hosts.iter().map(|(host, port)| Server::new(host.clone(), *port)).collect(),
                service_name: self.service.clone(),
                username: self.sentinel_login.user.clone(),
                password: self.sentinel_login.password.clone(),
            },
        }
    }

    fn tls(&self) -> Result<Option<TlsConfig>, ConfigError> {
        if !self.uses_tls {
            return Ok(None);
        }
        tls::connector(self.authority.as_deref()).map(Some)
    }
}

impl FromStr for Config {
    type Err = ConfigError;

    fn from_str(text: &str) -> Result<Self, ConfigError> {
        Self::parse(text)
    }
}

impl fmt::Display for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.uses_tls { "rediss" } else { "redis" })?;
        f.write_str(match self.topology {
            Topology::Single => "://",
            Topology::Sentinel => "-sentinel://",
            Topology::Cluster => "-cluster://",
        })?;
        if let Login { user, password: Some(_) } = self.login.get() {
            write!(f, "{}:***@", user.unwrap_or_default())?;
        }
        f.write_str(&self.address())?;
        if self.topology == Topology::Sentinel {
            write!(f, "/{}", self.service)?;
        }
        if self.database != 0 {
            write!(f, "/{}", self.database)?;
        }
        Ok(())
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Config").field(&self.to_string()).finish()
    }
}
