//! The filter that every span passes before it leaves the process.

use std::borrow::Cow;

use opentelemetry::{Array, Key, StringValue, Value};
use opentelemetry_sdk::trace::SpanData;
use tidegate_perfmon::mask;

/// Renames fields to the names that collectors know, and masks all text: a path or an id comes from
/// a client and may contain anything.
pub(super) fn pass(span: &mut SpanData) {
    if let Cow::Owned(masked) = mask(&span.name) {
        span.name = masked.into();
    }
    // The span itself has the parent's id.
    span.attributes.retain(|attribute| attribute.key.as_str() != "trace_parent");
    for attribute in &mut span.attributes {
        if let Some(name) = usual_name(attribute.key.as_str()) {
            attribute.key = Key::from_static_str(name);
        }
        mask_value(&mut attribute.value);
    }
}

/// Returns the name in OpenTelemetry's semantic conventions for a field that has a shorter name in
/// the log.
fn usual_name(field: &str) -> Option<&'static str> {
    Some(match field {
        "method" => "http.request.method",
        "path" => "url.path",
        "route" => "http.route",
        "queue" => "messaging.destination.name",
        "kind" => "tidegate.job.kind",
        "attempt" => "tidegate.job.attempt",
        // Id of a request or of a job.
        "id" => "tidegate.id",
        _ => return None,
    })
}

fn mask_value(value: &mut Value) {
    let text = match value {
        Value::String(text) => text,
        Value::Array(Array::String(texts)) => return texts.iter_mut().for_each(mask_text),
        _ => return,
    };
    mask_text(text);
}

fn mask_text(text: &mut StringValue) {
    if let Cow::Owned(masked) = mask(text.as_str()) {
        *text = masked.into();
    }
}
