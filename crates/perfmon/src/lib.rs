//! `record(duration)` never waits and never resets; readers subtract.
//!
//! Every endpoint and every measured operation owns one atomic histogram that only grows. Once a
//! second the application calls [`Registry::tick`] (`Registry::spawn_ticks` does it with the
//! feature `tokio`). A tick subtracts the previous reading from the current one and adds the
//! difference to rings of seconds, minutes and hours. So rotation loses no sample, all figures of a
//! window describe the same samples, and the Prometheus totals come from the same counters as the
//! percentiles.
//!
//! ```
//! use std::time::Duration;
//! use tidegate_perfmon::{Health, HealthMonitor, Reading, Registry, StatusClass, Window};
//!
//! let registry = Registry::builder().build();
//! let schedules = registry.endpoint("GET", "/api/schedules/{id}"); // bound once, recorded often
//! for _ in 0..100 {
//!     schedules.record(StatusClass::Success, Duration::from_millis(12));
//! }
//! registry.tick(registry.now()); // every second
//!
//! let page = registry.endpoints(Window::Seconds(60));
//! assert_eq!(page[0].count, 100);
//! assert!(page[0].latency.p99.unwrap() >= Duration::from_millis(12));
//!
//! let mut monitor = HealthMonitor::new(registry.health_config());
//! let mut readings = registry.readings();
//! readings.push(Reading::new("pool_in_use", 12.0, 80.0));
//! let report = monitor.evaluate(readings);
//! assert_eq!(report.status, Health::Healthy);
//! assert!(!report.reasons.is_empty());
//! ```
//!
//! Each file in the directory `examples` answers one question: which endpoint is slow, what took so
//! long, is it healthy, when does an alert notify operators, which statement repeats, how long did
//! callers wait, when is it full, and how to test a handler.
//!
//! # What is recorded where
//!
//! | what | by | shown by |
//! |---|---|---|
//! | requests | [`PerfLayer`], or [`Registry::endpoint`] | [`Registry::endpoints`], [`Registry::overall`], [`Registry::slow_calls`], [`Registry::failed_calls`] |
//! | work: statements, calls, cache, rendering | [`Registry::measure`], [`Registry::measure_result`], [`OperationHandle`] | [`Registry::operations`], [`Registry::slow_operations`] |
//! | other times | [`Registry::meter`] | [`Meter::window`], [`Meter::totals`] |
//! | statements by shape | [`Queries`] | [`Queries::top`], [`Queries::slow`], [`Queries::repeated`] |
//!
#![cfg_attr(not(doctest), doc = include_str!("axum.md"))]
//!
#![doc = include_str!("alerts.md")]
//!
#![doc = include_str!("limits.md")]

pub mod action;
pub mod advice;
mod alert;
mod expose;
mod figure;
mod health;
mod histogram;
#[cfg(feature = "tower")]
mod layer;
mod mask;
mod measure;
mod outcome;
pub mod outlook;
mod query;
mod readings;
mod record;
mod registry;
mod request;
mod series;
mod slow;
mod time;

pub use alert::{
    Alert, AlertRule, AlertRuleError, Alerts, BurnLog, BurnRate, BurnRateError, BurnReading, BurnWindow, Numbered,
    Observation, Outbox, OutboxCounts, Outcomes, Phase, Severity, Silence, SilenceError, Since, Transition,
};
#[cfg(feature = "metrics")]
pub use expose::facade::Bridge;
#[cfg(feature = "metrics")]
pub use expose::facade::figure::{BridgedFigure, BridgedSeries};
pub use figure::latency::{LatencySummary, OverThreshold};
pub use figure::totals::Totals;
pub use health::HealthMonitor;
pub use health::config::{HealthConfig, HealthConfigError};
pub use health::reading::Reading;
pub use health::report::{Component, Health, HealthReport, Reason};
pub use histogram::Histogram;
pub use histogram::bounds::EXPOSITION_BOUNDS;
pub use histogram::layout::Layout;
pub use histogram::snapshot::Snapshot;
#[cfg(feature = "tower")]
pub use layer::response::PerfFuture;
#[cfg(feature = "tower")]
pub use layer::{PerfLayer, PerfService};
pub use mask::mask;
pub use measure::handle::OperationHandle;
pub use outcome::call::CallOutcome;
pub use outcome::run::RunOutcome;
pub use outcome::status::{StatusClass, StatusCounts};
pub use query::{
    By, Dialect, Fingerprint, Queries, QueryConfig, QueryStats, Repeated, RequestQueries, Seen, SlowQuery, fingerprint,
};
pub use record::endpoint::{Endpoint, EndpointSnapshot, EndpointTotals};
pub use record::kind::Kind;
pub use record::meter::Meter;
pub use record::meter::grain::Grain;
pub use record::meter::window::MeterWindow;
pub use record::operation::{OperationSnapshot, OperationTotals};
pub use registry::Registry;
pub use registry::builder::RegistryBuilder;
pub use registry::catalog::{OTHER, UNMATCHED};
pub use registry::event::{Event, Observer};
pub use registry::in_flight::InFlight;
pub use registry::overall::Overall;
pub use registry::overhead::Overhead;
#[cfg(feature = "tokio")]
pub use registry::ticks::Ticks;
pub use request::body_wait::BodyWait;
pub use request::received_at::ReceivedAt;
pub use request::refused::Refused;
pub use request::trace_context::{TraceContext, TraceContextError};
pub use series::slot::Slot;
pub use slow::{SlowCall, SlowOperation};
pub use time::window::Window;

pub use tidegate_clock::{Clock, ManualClock};
