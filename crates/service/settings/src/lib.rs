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
    /// Jobs run inside the API process; the default where nothing else is set up.
    Inner,
    /// Jobs run only in `tidegate-worker` processes.
    None,
}

/// Address at which a `tidegate-worker` answers probes and `/metrics`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WorkerListen {
    /// On loopback: at [`WorkerListen::PORT`], or at a free port where that is in use.
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

/// How lines of the log are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Who may name a tenant by `X-Tenant-Id` without an API key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OpenTenants {
    /// Nobody: every application request carries a key.
    Closed,
    /// Direct loopback connections only: the first tour, before any token is set.
    Loopback,
    /// Everybody, because the operator said so.
    Everyone,
}

/// Of which requests the access log tells.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum AccessLogSettings {
    /// Of none.
    Off,
    /// Of this share, and of each that failed.
    Sampled(f64),
    /// Of all.
    Full,
}

/// How HTTP is served.
#[derive(Debug, Clone, Copy)]
pub struct HttpSettings {
    /// Largest JSON body in bytes.
    pub max_body: usize,
    /// Largest import in bytes.
    pub max_import: u64,
    /// A request that takes longer is answered 503. An upload has it per received piece instead.
    pub request_timeout: Duration,
    /// An upload that takes longer in all is ended.
    pub upload_timeout: Duration,
    /// A request's head that takes longer, or an idle connection without a next one, is closed.
    pub header_timeout: Duration,
    /// A client that takes nothing of its answer for so long is cut off.
    pub write_timeout: Duration,
    /// Bytes a second that a request's body has to bring, beyond ten seconds of grace.
    pub min_rate: u64,
    /// Connections open at a time. Beyond it the one that has been idle longest makes room.
    pub max_connections: usize,
    /// Requests under way at a time; more are answered 503 at once.
    pub max_in_flight: NonZeroU32,
    /// Answers of at least so many bytes are compressed; 0: none.
    pub compress_above: u64,
    /// Of which requests the access log tells.
    pub access_log: AccessLogSettings,
    /// Connections of one address, of IPv6 of one prefix; more are closed as they come.
    ///
    /// Those of trusted proxies are not counted.
    pub max_connections_per_address: usize,
    /// How long a shutdown goes on accepting, while `/readyz` already answers 503.
    pub drain_delay: Duration,
    /// How long a shutdown waits for requests in flight.
    pub drain_timeout: Duration,
}

/// Redis, where it is used.
#[derive(Debug, Clone)]
pub struct RedisSettings {
    /// Where it is.
    pub servers: RedisServers,
    /// The keys of this installation.
    pub keyspace: Keyspace,
    /// How far behind a replica may be from which the cache reads; none where it reads from
    /// primaries alone.
    pub replica_lag: Option<Duration>,
    /// Whether a restarted server that keeps torn scripts is asked to write its append-only file
    /// anew.
    pub rewrites_append_only_file: bool,
}

/// Where Redis is, and how long it may take to answer.
#[derive(Debug, Clone)]
pub struct RedisServers {
    /// For the queue.
    pub queue: tidegate_redis::Config,
    /// For the limits: the same server, with less patience.
    pub limits: tidegate_redis::Config,
    /// For the cache, where it has a server of its own.
    pub cache: Option<tidegate_redis::Config>,
}

/// How jobs are run.
#[derive(Debug, Clone)]
pub struct QueueSettings {
    /// Slots of a cluster over which one queue is spread, on Redis.
    pub partitions: u16,
    /// The queues that a worker of the process serves, and how.
    pub served: Vec<ServedQueue>,
    /// How long a job stays a dead worker's before another takes it.
    pub lease: Duration,
    /// How long a shutdown lets running jobs go on before it releases them.
    pub grace: Duration,
    /// Lines that one transaction of an import takes.
    pub import_chunk: usize,
    /// Pause between two such transactions.
    pub import_pause: Duration,
    /// Bad lines that an import may have; one more stops it.
    pub import_max_rejects: u64,
    /// Imports that a tenant may have waiting or running, uploads under way among them.
    pub import_max_pending: u32,
}

/// What the API loads into its cache before anybody asks.
#[derive(Debug, Clone, Copy)]
pub struct WarmUpSettings {
    /// Hot keys that are remembered and loaded at most; 0: none.
    pub keys: usize,
    /// Loads that run at once.
    pub concurrency: usize,
}

/// The checked settings of one process.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where the API listens.
    pub listen: SocketAddr,
    /// The API's own TLS; none where it speaks in clear.
    pub tls: Option<TlsSettings>,
    /// Address at which a `tidegate-worker` answers probes and `/metrics`.
    pub worker_listen: WorkerListen,
    /// Databases in files, and without a bucket exports, reports, backups and uploads.
    pub data_dir: PathBuf,
    /// The server with the application's tables, where they are not in a file there.
    pub database: Option<DatabaseSettings>,
    /// Where exports, reports and backups lie, and how long.
    pub files: FilesSettings,
    /// Whether the API runs jobs itself.
    pub worker: InnerWorker,
    /// Access to the operations routes.
    pub tokens: Tokens,
    /// The files that secrets were read from, and are read again when they change.
    pub secret_files: Vec<SecretFile>,
    /// Whose forwarded header counts, and which.
    pub trusted_proxies: TrustedProxies,
    /// Who may name a tenant without a key.
    pub open_tenants: OpenTenants,
    /// Filter of the log.
    pub log: String,
    /// How its lines are written.
    pub log_format: LogFormat,
    /// HTTP sizes and times.
    pub http: HttpSettings,
    /// Bytes that the in-process cache holds.
    pub cache_size: u64,
    /// How long each kind of cached value lives.
    pub cache_classes: CacheClasses,
    /// What is loaded into it at start.
    pub warm_up: WarmUpSettings,
    /// Every limit.
    pub limits: LimitsSettings,
    /// Redis, where queue, limits and the shared tier of the cache lie on it.
    pub redis: Option<RedisSettings>,
    /// How long a day's figures are kept.
    pub analytics_keep: Duration,
    /// How long a user stays logged in.
    pub session_ttl: Duration,
    /// How jobs are run.
    pub queue: QueueSettings,
    /// How mails are sent.
    pub email: EmailSettings,
    /// How tenants are told what concerns them.
    pub notifications: NotificationSettings,
    /// How it is posted to their URLs.
    pub webhook: WebhookSettings,
    /// How they are reminded of schedules.
    pub reminders: ReminderSettings,
    /// What is measured, judged, told and exported.
    pub performance: PerformanceSettings,
}

impl Settings {
    /// Path of the database with the application's tables, where they are in a file.
    pub fn database_path(&self) -> PathBuf {
        self.data_dir.join("tidegate.db")
    }

    /// Path of the list of hot keys, where one is kept.
    pub fn hot_keys_path(&self) -> PathBuf {
        self.data_dir.join("hot-keys")
    }

    /// Path of the database with the jobs, where they are not on Redis.
    pub fn queue_path(&self) -> PathBuf {
        self.data_dir.join("queue.db")
    }
}

/// A setting that can't be used. The message names the setting and where it was set.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SettingsError {
    /// The settings file can't be read.
    #[error("settings file {path}: {source}", path = path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The settings file is not TOML.
    #[error("settings file {path} is not valid TOML: {reason}", path = path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// What the parser says, with line and column.
        reason: String,
    },
    /// The settings file has a key that means nothing.
    #[error("settings file {path}: unknown setting `{key}`{hint}", path = path.display(), hint = did_you_mean(*.nearest))]
    Unknown {
        /// The file.
        path: PathBuf,
        /// The key.
        key: String,
        /// The known key that looks most like it.
        nearest: Option<&'static str>,
    },
    /// A variable is named like a setting and means nothing.
    #[error("unknown environment variable {name}{hint}", hint = nearest.map_or_else(String::new, |known| format!(" (did you mean {known}?)")))]
    UnknownVariable {
        /// The variable.
        name: String,
        /// The known variable that looks most like it.
        nearest: Option<&'static str>,
    },
    /// A value of the wrong kind or out of range.
    #[error("{setting} ({origin}): {reason}")]
    Invalid {
        /// The setting's key.
        setting: &'static str,
        /// Environment variable, file or default.
        origin: Source,
        /// What is wrong and what would be right.
        reason: String,
    },
}

fn did_you_mean(nearest: Option<&'static str>) -> String {
    nearest.map_or_else(String::new, |key| format!(" (did you mean `{key}`?)"))
}
