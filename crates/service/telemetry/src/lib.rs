//! What both programs report about themselves: the log, metrics, health, alerts and traces.
//!
//! **It holds** [`Telemetry`], which files the measurements of each second into windows and judges
//! them; [`Sources`], where the parts of a node register their sections, metrics and readings; the
//! text of `/metrics`; the log ([`init_logging`], [`LogFilter`]); the alerts and their receivers
//! ([`AlertDispatcher`]); trends and advice ([`OutlookWatch`]); and the export to an OpenTelemetry
//! collector ([`Export`]).
//!
//! **It must not hold** a route, a page or a job, and it must not import the domain or the node:
//! the node registers with the [`Sources`] what its parts have to show.
//!
//! **Start reading** at `ticker.rs`, which runs once a second, then at `sources.rs`, then at
//! `alerts/tick.rs`, which turns a verdict into alerts. `start.rs` puts the parts together.

mod access_log;
mod alerts;
mod cache_figures;
mod cache_watch;
mod exposition;
mod json_lines;
mod latest;
mod limiters;
mod line_fields;
mod log_filter;
mod logging;
mod operations;
#[cfg(feature = "otlp")]
mod otlp;
#[cfg(not(feature = "otlp"))]
#[path = "otlp/absent.rs"]
mod otlp;
mod outlook;
mod own_rules;
mod pools;
mod postgres;
mod process;
mod queues;
mod redis;
mod redis_figures;
mod shedding;
mod slow_log;
mod sources;
mod start;
mod statements;
mod telemetry;
#[cfg(test)]
mod test_ground;
mod ticker;
pub mod trace;
mod verdict;

pub use alerts::{AlertDispatcher, Follower, SilenceFailure, StreamEvent, Topic};
pub use cache_watch::CacheWatch;
pub use exposition::CONTENT_TYPE;
#[cfg(feature = "otlp")]
pub(crate) use exposition::Family;
pub(crate) use exposition::Sample;
pub use log_filter::{BadFilter, LogFilter, LogFilterNow, log_filter};
pub(crate) use logging::BoxedLayer;
pub use logging::init as init_logging;
#[cfg(all(test, feature = "otlp"))]
pub(crate) use logging::listeners;
pub use operations::Operations;
#[cfg(feature = "otlp")]
pub(crate) use operations::collector as collector_operation;
pub use otlp::Export;
pub use outlook::{CacheRoom, JobsAtOnce, OutlookWatch};
pub use queues::{JobWatch, Latency, Percentiles, Rates};
pub use redis::{RedisReplica, RedisReport, RedisServer, RedisSlowCommand, RedisUse};
pub use slow_log::SlowLog;
pub use sources::{Named, Section, Sources, Table, Tick, cell};
pub use start::{Observed, registry};
pub(crate) use statements::Statement;
pub use statements::set_request_trace;
pub use telemetry::Telemetry;
