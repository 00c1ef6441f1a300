//! The settings of a process: read as text, checked once, then always valid.
//!
//! **It holds** [`CATALOGUE`], which has one row for each setting: its key in the settings file,
//! its environment variable, its default and its meaning. [`RawSettings`] holds the text and its
//! source. [`RawSettings::check`] turns the text into [`Settings`]. Every error names the setting
//! and the source.
//!
//! **It must not hold** code that acts on a setting: it connects to nothing and opens no database.
//! It names types of the mail, storage and database libraries only to check an address, a path or a
//! URL early.
//!
//! **Start reading** at `catalogue.rs`, which lists the groups. The file of a group, such as
//! `limits.rs`, has its rows, its types and the check of its text. A new setting needs a row, a
//! field and a check in the file of its group.

mod alerts;
mod cache;
mod callers;
mod catalogue;
mod database;
mod database_url;
mod email;
mod error;
mod files;
mod hidden;
mod http_server;
mod limits;
mod log;
mod notifications;
mod otlp;
mod performance;
mod process;
mod queues;
mod raw;
mod reader;
mod redis;
mod reminders;
mod retired;
mod secret;
mod secret_file;
mod setting;
mod settings;
mod source;
#[cfg(any(test, feature = "test-support"))]
pub mod test_ground;
mod tls;
mod tokens;
mod values;

pub use alerts::AlertSettings;
pub use cache::WarmUpSettings;
pub use cache::classes::{CacheClasses, ClassSettings};
pub use callers::OpenTenants;
pub use catalogue::{CATALOGUE, GROUPS, Group};
pub use database::{DatabaseSettings, MOST_REPLICAS};
pub use database_url::{DatabaseUrl, UrlError};
pub use email::{EmailSettings, Security, SmtpServer};
pub use error::SettingsError;
pub use files::{FileRunSettings, FilesPlace, FilesSettings};
pub use hidden::Hidden;
pub use http_server::{AccessLogSettings, HttpSettings};
pub use limits::lists::ListSettings;
pub use limits::{LimitMode, LimitSettings, LimitsSettings, MAX_SMALL_LIMIT};
pub use log::{LogFormat, misspelt_level};
pub use notifications::{NotificationSettings, WebhookSettings};
pub use otlp::OtlpSettings;
pub use performance::PerformanceSettings;
pub use process::{InnerWorker, WorkerListen};
pub use queues::QueueSettings;
pub use raw::RawSettings;
pub use reader::token_fault;
pub use redis::{RedisServers, RedisSettings};
pub use reminders::ReminderSettings;
pub use secret::Secret;
pub use secret_file::{SecretFile, SecretFileError, read_secret};
pub use setting::Setting;
pub use settings::Settings;
pub use source::Source;
pub use tls::TlsSettings;
pub use tokens::{Rights, Tokens};
