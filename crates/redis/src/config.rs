//! Configuration: the servers and how to connect to them, as one URL.

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

/// Role of the server. Decides the checks at start and the default time-out of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// Jobs, locks, stock and limits: no key may be evicted. The time-out of a command is 1 s by
    /// default.
    Durable,
    /// The second tier of the cache: every key may be evicted. The time-out of a command is 250 ms
    /// by default.
    Cache,
}

/// Topology of the servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Topology {
    /// One primary, with or without replicas.
    Single,
    /// A primary that Sentinels elect.
    Sentinel,
    /// A cluster.
    Cluster,
}

/// The Redis or Valkey servers and how to connect to them.
///
/// | URL | means |
/// |---|---|
/// | `redis://[user:password@]host[:port][/db]` | one server |
/// | `redis-sentinel://[user:password@]host:port,host:port/name[/db]` | the primary `name` |
/// | `redis-cluster://[user:password@]host:port,host:port` | a cluster; some nodes are enough |
///
/// `valkey…` is the same as `redis…`, and `rediss…` uses TLS. Parameters follow a `?` and are
/// separated by `&`: `timeout=250ms` for one command, `connect_timeout=2s`, `ca=/path/of.pem` (in
/// place of the system's certificate authorities), `sentinel_user=…` and `sentinel_password=…`.
/// User, password and values are percent-decoded.
///
/// [`Display`](fmt::Display) and [`Debug`](fmt::Debug) mask the password.
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

/// Most commands that wait in this process. Beyond it, a command fails with kind `Busy`.
const BUFFER: usize = 65_536;
/// Most redirections that a command follows in a cluster.
const REDIRECTIONS: u32 = 5;
/// Most notices of invalidated keys that wait for their reader. Beyond it, the reader is notified
/// that it missed some.
const NOTICES: usize = 16_384;

impl Config {
    /// Parses a URL.
    ///
    /// # Errors
    /// Names the fault, and never contains the password.
    pub fn parse(text: &str) -> Result<Self, ConfigError> {
        url::parse(text)
    }

    /// Sets the time-out of one command.
    #[must_use]
    pub fn command_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Accepts a server that evicts keys for [`Role::Durable`] too: under memory pressure it loses
    /// jobs.
    #[must_use]
    pub fn allow_eviction(mut self) -> Self {
        self.allows_eviction = true;
        self
    }

    /// Uses the login of `newer` from the next connection on, in every client with this
    /// configuration or a clone. Open connections are not changed.
    ///
    /// Returns false, and changes nothing, if `newer` has other servers, or if Sentinels name the
    /// primary: those clients keep their login.
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

    /// Topology of the servers.
    pub fn topology(&self) -> Topology {
        self.topology
    }

    pub(crate) fn allows_eviction(&self) -> bool {
        self.allows_eviction
    }

    /// Hosts and ports, for messages.
    pub(crate) fn address(&self) -> String {
        let hosts: Vec<String> = self.hosts.iter().map(|(host, port)| format!("{host}:{port}")).collect();
        hosts.join(",")
    }

    /// Whether it uses TLS.
    pub(crate) fn uses_tls(&self) -> bool {
        self.uses_tls
    }

    /// The hosts and ports of the URL, at least one.
    pub(crate) fn hosts(&self) -> &[(String, u16)] {
        &self.hosts
    }

    /// Time-out of one command.
    pub(crate) fn timeout(&self, role: Role) -> Duration {
        self.timeout.unwrap_or(match role {
            Role::Durable => Duration::from_secs(1),
            Role::Cache => Duration::from_millis(250),
        })
    }

    /// Time-out of the first connection.
    pub(crate) fn connect_timeout(&self) -> Duration {
        self.connect_timeout
    }

    /// Creates fred's builder. A `timeout` of zero means none, for connections of blocking
    /// commands.
    pub(crate) fn builder(&self, timeout: Duration) -> Result<Builder, ConfigError> {
        let Login { user, password } = self.login.get();
        // With Sentinels, fred would also use the provider for the login to the Sentinels.
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
