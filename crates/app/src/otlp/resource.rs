//! Who sends.

use std::sync::LazyLock;

use opentelemetry::KeyValue;
use opentelemetry_sdk::Resource;
use uuid::Uuid;

static THIS_PROCESS: LazyLock<Resource> = LazyLock::new(|| {
    let program = std::env::current_exe().ok();
    let name = program.as_deref().and_then(|path| path.file_stem()?.to_str()).unwrap_or("tidegate").to_owned();
    // Nothing of the environment: what goes out is what is said here.
    Resource::builder_empty()
        .with_attributes([
            KeyValue::new("service.name", name),
            KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
            KeyValue::new("service.instance.id", Uuid::new_v4().to_string()),
        ])
        .build()
});

/// The program, its version, and an id that is new at each start.
pub(super) fn of_this_process() -> Resource {
    THIS_PROCESS.clone()
}
