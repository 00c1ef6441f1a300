//! The settings of a process: read as text, checked once, then always valid.
//!
//! **It holds** [`CATALOGUE`], which has one line for each setting: its key in the settings file,
//! its environment variable, its default and its meaning. [`RawSettings`] holds the text and its
//! source. [`RawSettings::check`] turns the text into [`Settings`]. Every error names the setting
//! and the source.
//!
//! **It must not hold** code that acts on a setting: it connects to nothing and opens no database.
//! It names types of the mail, storage and database libraries only to check an address, a path or a
//! URL early.
//!
//! **Start reading** at `catalogue.rs`, then read `check.rs`. A new setting needs a line in the
//! catalogue, a field of [`Settings`], and a check.

mod cache;
mod catalogue;
mod check;
mod database;
mod database_url;
mod email;
mod files;
mod hidden;
mod limits;
mod notifications;
mod performance;
mod queues;
mod raw;
mod reader;
mod reminders;
mod secret;
mod secret_file;
#[cfg(any(test, feature = "test-support"))]
pub mod test_ground;
mod tls;
mod tokens;

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use tidegate_model::queues::ServedQueue;
use tidegate_ratelimit::TrustedProxies;
use tidegate_redis::Keyspace;

pub use cache::{CacheClasses, ClassSettings};
pub use catalogue::{CATALOGUE, Setting};
pub use database::{DatabaseSettings, MOST_REPLICAS};
pub use database_url::{DatabaseUrl, UrlError};
pub use email::{EmailSettings, Security, SmtpServer};
pub use files::{FileRunSettings, FilesPlace, FilesSettings};
pub use hidden::Hidden;
pub use limits::{LimitMode, LimitSettings, LimitsSettings, ListSettings, MAX_SMALL_LIMIT};
pub use notifications::{NotificationSettings, WebhookSettings};
pub use performance::{AlertSettings, OtlpSettings, PerformanceSettings};
pub use raw::{RawSettings, Source};
pub use reader::{misspelt_level, token_fault};
pub use reminders::ReminderSettings;
pub use secret::Secret;
pub use secret_file::{SecretFile, SecretFileError, read_secret};
pub use tls::TlsSettings;
pub use tokens::{Rights, Tokens};

/// Whether the API process runs a worker beside its routes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InnerWorker {
    /// Jobs run inside the API process. This is the default if nothing else is configured.
    Inner,
    /// Jobs run only in `tidegate-worker` processes.
    None,
}

/// Address at which a `tidegate-worker` answers probes and `/metrics`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WorkerListen {
    /// On loopback: at [`WorkerListen::PORT`], or at a free port if that is in use.
    Auto,
    /// At this address.
    At(SocketAddr),
    /// Nowhere.
    Off,
}

impl WorkerListen {
    /// The port of `auto`.
    pub const PORT: u16 = 9464;
}

/// Format of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Which clients may name a tenant with `X-Tenant-Id`, without an API key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OpenTenants {
    /// None: every application request needs a key.
    Closed,
    /// Only direct loopback connections, for a first trial before any token is set.
    Loopback,
    /// All clients, because the operator enabled that.
    Everyone,
}

/// Which requests appear in the access log.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum AccessLogSettings {
    /// None.
    Off,
    /// This share of the requests, and each one that failed.
    Sampled(f64),
    /// All.
    Full,
}

/// Settings of the HTTP server.
#[derive(Debug, Clone, Copy)]
pub struct HttpSettings {
    /// Maximum size of a JSON body in bytes.
    pub max_body: usize,
    /// Maximum size of an import in bytes.
    pub max_import: u64,
    /// Timeout of a request, which then gets a 503. For an upload it applies to each received
    /// piece.
    pub request_timeout: Duration,
    /// Timeout of a whole upload.
    pub upload_timeout: Duration,
    /// Maximum time for a request head to arrive, and for an idle connection to wait for its next
    /// request. The connection is closed after that.
    pub header_timeout: Duration,
    /// How long a client may read nothing of its response before its connection is cut off.
    pub write_timeout: Duration,
    /// Minimum rate of a request body in bytes per second, after ten seconds of grace.
    pub min_rate: u64,
    /// Maximum number of open connections. Beyond it, the connection that has been idle longest
    /// makes room.
    pub max_connections: usize,
    /// Maximum number of requests in flight. Further ones get a 503 immediately.
    pub max_in_flight: NonZeroU32,
    /// Minimum size in bytes of responses that are compressed. 0 to compress none.
    pub compress_above: u64,
    /// Which requests appear in the access log.
    pub access_log: AccessLogSettings,
    /// Maximum number of connections per IPv4 address or IPv6 prefix. Further connections are
    /// closed as they arrive.
    ///
    /// Connections of trusted proxies are not counted.
    pub max_connections_per_address: usize,
    /// How long a shutdown still accepts requests while `/readyz` already returns 503.
    pub drain_delay: Duration,
    /// How long a shutdown waits for requests in flight.
    pub drain_timeout: Duration,
}

/// Settings of Redis.
#[derive(Debug, Clone)]
pub struct RedisSettings {
    /// The servers.
    pub servers: RedisServers,
    /// The keys of this installation.
    pub keyspace: Keyspace,
    /// Maximum lag of a replica that the cache reads from. `None` if it reads only from primaries.
    pub replica_lag: Option<Duration>,
    /// Whether a restarted server that keeps torn scripts is asked to rewrite its append-only file.
    pub rewrites_append_only_file: bool,
}

/// The Redis servers, and how long they may take to respond.
#[derive(Debug, Clone)]
pub struct RedisServers {
    /// For the queue.
    pub queue: tidegate_redis::Config,
    /// For the limiters: the same server, with a shorter timeout.
    pub limits: tidegate_redis::Config,
    /// For the cache, if it has its own server.
    pub cache: Option<tidegate_redis::Config>,
}

/// Settings of job execution.
#[derive(Debug, Clone)]
pub struct QueueSettings {
    /// Number of cluster slots over which one queue is spread on Redis.
    pub partitions: u16,
    /// The queues that a worker of the process serves, with their settings.
    pub served: Vec<ServedQueue>,
    /// How long a job stays assigned to a dead worker before another worker takes it.
    pub lease: Duration,
    /// How long a shutdown lets running jobs continue before it releases them.
    pub grace: Duration,
    /// Number of lines per transaction of an import.
    pub import_chunk: usize,
    /// Pause between two of these transactions.
    pub import_pause: Duration,
    /// Maximum number of rejected lines per import. One more stops it.
    pub import_max_rejects: u64,
    /// Maximum number of waiting or running imports per tenant, including uploads in progress.
    pub import_max_pending: u32,
}

/// Cache warm-up of the API before its first request.
#[derive(Debug, Clone, Copy)]
pub struct WarmUpSettings {
    /// Maximum number of hot keys that are remembered and loaded. 0 to switch the warm-up off.
    pub keys: usize,
    /// Number of concurrent loads.
    pub concurrency: usize,
}

/// The checked settings of a process.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Address of the API.
    pub listen: SocketAddr,
    /// The API's own TLS. `None` for plain HTTP.
    pub tls: Option<TlsSettings>,
    /// Address at which a `tidegate-worker` answers probes and `/metrics`.
    pub worker_listen: WorkerListen,
    /// Directory of databases in files. Without a bucket it also contains exports, reports, backups
    /// and uploads.
    pub data_dir: PathBuf,
    /// The server with the application's tables. `None` if they are in a file in `data_dir`.
    pub database: Option<DatabaseSettings>,
    /// Location of exports, reports and backups, and how long they are kept.
    pub files: FilesSettings,
    /// Whether the API process also runs jobs.
    pub worker: InnerWorker,
    /// Tokens for the operations routes.
    pub tokens: Tokens,
    /// Files that secrets were read from. They are read again when they change.
    pub secret_files: Vec<SecretFile>,
    /// Proxies whose forwarded header is trusted, and which header that is.
    pub trusted_proxies: TrustedProxies,
    /// Which clients may name a tenant without a key.
    pub open_tenants: OpenTenants,
    /// Filter of the log.
    pub log: String,
    /// Format of log lines.
    pub log_format: LogFormat,
    /// Settings of the HTTP server.
    pub http: HttpSettings,
    /// Size of the in-process cache in bytes.
    pub cache_size: u64,
    /// Lifetimes of cached values per class.
    pub cache_classes: CacheClasses,
    /// Cache warm-up at start.
    pub warm_up: WarmUpSettings,
    /// All limits.
    pub limits: LimitsSettings,
    /// Redis, if queue, limits and the shared tier of the cache use it.
    pub redis: Option<RedisSettings>,
    /// How long daily figures are kept.
    pub analytics_keep: Duration,
    /// How long a user stays logged in.
    pub session_ttl: Duration,
    /// Settings of job execution.
    pub queue: QueueSettings,
    /// Settings for mail.
    pub email: EmailSettings,
    /// Notices to tenants.
    pub notifications: NotificationSettings,
    /// Delivery of notices to tenants' URLs.
    pub webhook: WebhookSettings,
    /// Reminders of schedules.
    pub reminders: ReminderSettings,
    /// Measurement, health, alerts and export of metrics.
    pub performance: PerformanceSettings,
}

impl Settings {
    /// Returns the path of the application's database, if it is in a file.
    pub fn database_path(&self) -> PathBuf {
        self.data_dir.join("tidegate.db")
    }

    /// Returns the path of the list of hot keys, if one is kept.
    pub fn hot_keys_path(&self) -> PathBuf {
        self.data_dir.join("hot-keys")
    }

    /// Returns the path of the job database, if jobs are not on Redis.
    pub fn queue_path(&self) -> PathBuf {
        self.data_dir.join("queue.db")
    }
}

/// An invalid setting. The message names the setting and its source.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SettingsError {
    /// The settings file cannot be read.
    #[error("settings file {path}: {source}", path = path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// The settings file is not TOML.
    #[error("settings file {path} is not valid TOML: {reason}", path = path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// The parser's message, with line and column.
        reason: String,
    },
    /// The settings file has an unknown key.
    #[error("settings file {path}: unknown setting `{key}`{hint}", path = path.display(), hint = did_you_mean(*.nearest))]
    Unknown {
        /// The file.
        path: PathBuf,
        /// The key.
        key: String,
        /// The most similar known key.
        nearest: Option<&'static str>,
    },
    /// A variable is named like a setting but is unknown.
    #[error("unknown environment variable {name}{hint}", hint = nearest.map_or_else(String::new, |known| format!(" (did you mean {known}?)")))]
    UnknownVariable {
        /// The variable.
        name: String,
        /// The most similar known variable.
        nearest: Option<&'static str>,
    },
    /// A value has the wrong type or is out of range.
    #[error("{setting} ({origin}): {reason}")]
    Invalid {
        /// The setting's key.
        setting: &'static str,
        /// Environment variable, file or default.
        origin: Source,
        /// The fault, and what a valid value looks like.
        reason: String,
    },
}

fn did_you_mean(nearest: Option<&'static str>) -> String {
    nearest.map_or_else(String::new, |key| format!(" (did you mean `{key}`?)"))
}
