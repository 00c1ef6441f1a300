//! The log, and the other subscribers to the events of the process.

mod boxed;

use std::io::IsTerminal;

use tidegate_settings::{LogFormat, Settings};
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::{FilterExt, filter_fn};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::{Filter, Layer, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Registry, fmt};

use super::json_lines::{JsonFields, JsonLines};
use super::line_fields::LineFields;
use super::log_filter;
use super::statements::{self, STATEMENT_TARGET, Statements};
use crate::otlp;
pub(crate) use boxed::BoxedLayer;

/// Starts the log and the other listeners, including the recorder for the facade `metrics`.
///
/// A second call in one process has no effect: tests that start several nodes share the listeners
/// of the first.
pub fn init(settings: &Settings) {
    super::exposition::facade::install();
    if tracing_subscriber::registry().with(listeners(settings)).try_init().is_err() {
        return tracing::debug!("the log was started before");
    }
    otlp::listen();
}

pub(crate) fn listeners(settings: &Settings) -> Vec<BoxedLayer> {
    let statements = Statements::of_process(&settings.performance.queries);
    let is_terminal = std::io::stderr().is_terminal();
    let (exported, spans) = otlp::listeners(settings).unzip();
    let lines = lines(log_filter::start(&settings.log), settings.log_format, std::io::stderr, is_terminal);
    [lines, statements::layer(statements, spans).boxed()].into_iter().chain(exported).collect()
}

/// Writes lines to standard error, so that standard output contains only requested output.
///
/// Events of sqlx about statements are never written, with any filter: they contain the statement's
/// text with every value. Slow statements are logged without values instead.
pub(super) fn lines<W, F>(filter: F, format: LogFormat, writer: W, is_terminal: bool) -> BoxedLayer
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
    F: Filter<Registry> + Send + Sync + 'static,
{
    let other = filter_fn(|metadata| metadata.target() != STATEMENT_TARGET).with_max_level_hint(LevelFilter::TRACE);
    let filter = filter.and(other);
    // A line that can't be written can't be reported either: with a closed standard error,
    // reporting would panic.
    let lines = fmt::layer().with_writer(writer).log_internal_errors(false);
    match format {
        LogFormat::Text => lines.with_ansi(is_terminal).fmt_fields(LineFields).with_filter(filter).boxed(),
        LogFormat::Json => {
            let lines = lines.with_ansi(false).fmt_fields(JsonFields).event_format(JsonLines);
            lines.with_filter(filter).boxed()
        }
    }
}
