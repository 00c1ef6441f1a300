//! The log, and who else listens to what the process says of itself.

use std::io::IsTerminal;

use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Registry, fmt};

use super::line_fields::LineFields;
use crate::otlp;
use crate::settings::Settings;

/// A listener with a filter of its own: without one, a layer would be asked for all that any other wants to hear.
pub(crate) type BoxedLayer = Box<dyn Layer<Registry> + Send + Sync>;

/// Starts the log and whoever else listens.
///
/// A second call in one process does nothing: tests that start several nodes share the first's.
pub fn init(settings: &Settings) {
    if tracing_subscriber::registry().with(listeners(settings)).try_init().is_err() {
        return tracing::debug!("the log was started before");
    }
    otlp::listen();
}

fn listeners(settings: &Settings) -> Vec<BoxedLayer> {
    let mut listeners = vec![lines(&settings.log)];
    listeners.extend(otlp::layers(settings));
    listeners
}

/// Lines on standard error, so that standard output stays for what a person asked for. `filter` has passed the check of
/// the settings.
fn lines(filter: &str) -> BoxedLayer {
    let is_terminal = std::io::stderr().is_terminal();
    let lines = fmt::layer().with_writer(std::io::stderr).with_ansi(is_terminal).fmt_fields(LineFields);
    lines.with_filter(EnvFilter::new(filter)).boxed()
}
