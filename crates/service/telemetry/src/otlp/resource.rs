//! Who sends.

use opentelemetry::KeyValue;
use opentelemetry_sdk::Resource;
use tidegate_base::identity::THIS_PROCESS;
use tidegate_settings::OtlpSettings;

/// The program, its version, an id that is new at each start, and what the settings say beside or instead.
pub(super) fn of(settings: &OtlpSettings) -> Resource {
    let process = &*THIS_PROCESS;
    // Nothing of the environment: what goes out is what is said here.
    Resource::builder_empty()
        .with_attributes([
            KeyValue::new("service.name", process.service.as_str()),
            KeyValue::new("service.version", process.version.as_str()),
            KeyValue::new("service.instance.id", process.instance.as_str()),
        ])
        .with_attributes(settings.resource.iter().map(|(name, value)| KeyValue::new(name.clone(), value.clone())))
        .build()
}
