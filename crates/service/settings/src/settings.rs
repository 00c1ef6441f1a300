//! The checked settings of a process, put together from their groups.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use tidegate_ratelimit::TrustedProxies;

use crate::cache::classes::{CacheClasses, classes};
use crate::cache::{self, WarmUpSettings};
use crate::callers::{self, OpenTenants};
use crate::database::{DatabaseSettings, database};
use crate::email::{EmailSettings, email};
use crate::error::SettingsError;
use crate::files::{FilesSettings, files};
use crate::http_server::{HttpSettings, http};
use crate::limits::{LimitsSettings, limits};
use crate::log::{self, LogFormat};
use crate::notifications::{NotificationSettings, WebhookSettings, notifications, webhook};
use crate::performance::{PerformanceSettings, performance};
use crate::process::{self, InnerWorker, WorkerListen};
use crate::queues::{self, QueueSettings};
use crate::reader::Reader;
use crate::redis::{RedisSettings, redis};
use crate::reminders::{ReminderSettings, reminders};
use crate::secret_file::SecretFile;
use crate::tls::{TlsSettings, tls};
use crate::tokens::{Tokens, tokens};
use crate::values::Values;

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

/// Turns text into values that need no further checks.
pub(crate) fn settings(values: &Values) -> Result<Settings, SettingsError> {
    let raw = Reader::new(values);
    let tokens = tokens(&raw)?;
    let listen = process::listen(&raw, &tokens)?;
    let redis = redis(&raw)?;
    Ok(Settings {
        listen,
        tls: tls(&raw)?,
        worker_listen: process::worker_listen(&raw)?,
        data_dir: process::data_dir(&raw)?,
        database: database(&raw)?,
        files: files(&raw)?,
        worker: process::worker(&raw, redis.is_some())?,
        trusted_proxies: callers::trusted_proxies(&raw)?,
        open_tenants: callers::open_tenants(&raw, &tokens)?,
        log: log::filter(&raw)?,
        log_format: log::format(&raw)?,
        http: http(&raw)?,
        cache_size: cache::size(&raw)?,
        cache_classes: classes(&raw)?,
        warm_up: cache::warm_up(&raw)?,
        limits: limits(&raw)?,
        redis,
        analytics_keep: queues::analytics_keep(&raw)?,
        session_ttl: callers::session_ttl(&raw)?,
        queue: queues::queue(&raw)?,
        email: email(&raw)?,
        notifications: notifications(&raw)?,
        webhook: webhook(&raw)?,
        reminders: reminders(&raw)?,
        performance: performance(&raw, &tokens)?,
        tokens,
        secret_files: values.secret_files(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::CATALOGUE;
    use crate::test_ground::check_with;

    #[test]
    fn defaults_are_good() {
        let settings = check_with(&[]).unwrap();
        assert_eq!(settings.listen.to_string(), "127.0.0.1:8080");
        assert_eq!(settings.open_tenants, OpenTenants::Loopback);
        assert_eq!(settings.http.max_body, 1 << 20);
    }

    #[test]
    fn every_bad_value_names_its_setting_and_variable() {
        for setting in CATALOGUE.iter().filter(|setting| !matches!(setting.key, "data_dir" | "tokens.admin")) {
            let error = check_with(&[(setting.variable, "=not\u{7f} valid!")]).unwrap_err().to_string();
            assert!(error.contains(setting.key) && error.contains(setting.variable), "{error}");
        }
    }

    #[test]
    fn an_empty_variable_counts_as_not_set() {
        assert_eq!(check_with(&[("TIDEGATE_LISTEN", "")]).unwrap().listen.port(), 8080);
        assert!(check_with(&[("REDIS_URL", "")]).is_ok());
    }
}
