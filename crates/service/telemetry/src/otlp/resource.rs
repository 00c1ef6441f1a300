//! The resource that identifies the sender.

use opentelemetry::KeyValue;
use opentelemetry_sdk::Resource;
use tidegate_base::identity::THIS_PROCESS;
use tidegate_settings::OtlpSettings;

/// Returns the program, its version, an id that is new at each start, and the configured
/// attributes, which take precedence.
pub(super) fn of(settings: &OtlpSettings) -> Resource {
    let process = &*THIS_PROCESS;
    // Environment variables are ignored: only these attributes are exported.
    Resource::builder_empty()
        .with_attributes([
            KeyValue::new("service.name", process.service.as_str()),
            KeyValue::new("service.version", process.version.as_str()),
            KeyValue::new("service.instance.id", process.instance.as_str()),
        ])
        .with_attributes(settings.resource.iter().map(|(name, value)| KeyValue::new(name.clone(), value.clone())))
        .build()
}
