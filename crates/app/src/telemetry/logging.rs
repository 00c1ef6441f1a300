//! The log, and who else listens to what the process says of itself.

use std::io::IsTerminal;

use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Registry, fmt};

use crate::settings::Settings;

/// A listener with a filter of its own: without one, a layer would be asked for all that any other wants to hear.
type BoxedLayer = Box<dyn Layer<Registry> + Send + Sync>;

/// Starts the log and whoever else listens, among them the one to what libraries count through the facade `metrics`.
///
/// A second call in one process does nothing: tests that start several nodes share the first's.
pub fn init(settings: &Settings) {
    super::exposition::facade::install();
    if tracing_subscriber::registry().with(listeners(settings)).try_init().is_err() {
        tracing::debug!("the log was started before");
    }
}

fn listeners(settings: &Settings) -> Vec<BoxedLayer> {
    vec![lines(&settings.log)]
}

/// Lines on standard error, so that standard output stays for what a person asked for. `filter` has passed the check of
/// the settings.
fn lines(filter: &str) -> BoxedLayer {
    let is_terminal = std::io::stderr().is_terminal();
    fmt::layer().with_writer(std::io::stderr).with_ansi(is_terminal).with_filter(EnvFilter::new(filter)).boxed()
}
