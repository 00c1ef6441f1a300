//! Who sends.

use opentelemetry::KeyValue;
use opentelemetry_sdk::Resource;

use crate::identity::THIS_PROCESS;

/// The program, its version, and an id that is new at each start.
pub(super) fn of_this_process() -> Resource {
    let process = &*THIS_PROCESS;
    // Nothing of the environment: what goes out is what is said here.
    Resource::builder_empty()
        .with_attributes([
            KeyValue::new("service.name", process.service.as_str()),
            KeyValue::new("service.version", process.version),
            KeyValue::new("service.instance.id", process.instance.as_str()),
        ])
        .build()
}
