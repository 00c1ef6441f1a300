//! The type of all listeners to the events of the process.

use tracing_subscriber::Registry;
use tracing_subscriber::layer::Layer;

/// A listener with a separate filter: without one, a layer would be called for all events that any
/// other layer needs.
pub(crate) type BoxedLayer = Box<dyn Layer<Registry> + Send + Sync>;
