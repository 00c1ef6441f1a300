//! Schemas that are derived from the types that requests and responses are made of.

use schemars::generate::SchemaSettings;
use schemars::transform::RecursiveTransform;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::{Value, json};

/// Returns the schema of a response. Fields that are always written are required, and there are no
/// others.
pub(crate) fn of_response<T: JsonSchema>() -> Value {
    of::<T>(SchemaSettings::draft2020_12().for_serialize().with_transform(RecursiveTransform(close)))
}

/// Returns the schema of a request. Fields that the type can do without are not required.
pub(crate) fn of_request<T: JsonSchema>() -> Value {
    of::<T>(SchemaSettings::draft2020_12().for_deserialize())
}

fn of<T: JsonSchema>(settings: SchemaSettings) -> Value {
    let settings = settings.with_transform(RecursiveTransform(without_width)).with(|settings| {
        // The document itself names the dialect, and only its components have names.
        settings.meta_schema = None;
        settings.inline_subschemas = true;
    });
    let mut schema = settings.into_generator().into_root_schema_for::<T>();
    // Both are written for readers of the Rust type.
    schema.remove("title");
    schema.remove("description");
    schema.to_value()
}

/// Refuses unknown fields.
fn close(schema: &mut Schema) {
    if schema.get("properties").is_some() && schema.get("additionalProperties").is_none() {
        schema.insert("additionalProperties".to_owned(), json!(false));
    }
}

/// Removes the width of a number in Rust. JSON has no such formats.
fn without_width(schema: &mut Schema) {
    let is_number = |kind: &Value| kind == "integer" || kind == "number";
    let kind = schema.get("type");
    if kind.is_some_and(|kind| is_number(kind) || kind.as_array().is_some_and(|kinds| kinds.iter().any(is_number))) {
        schema.remove("format");
    }
}

/// The component `JobState`.
pub(crate) fn job_state(_: &mut SchemaGenerator) -> Schema {
    component("JobState")
}

/// The component `Progress`, or `null`.
pub(crate) fn progress_or_null(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"anyOf": [component("Progress"), {"type": "null"}]})
}

/// The component `User`.
pub(crate) fn user(_: &mut SchemaGenerator) -> Schema {
    component("User")
}

fn component(name: &str) -> Schema {
    Schema::new_ref(format!("#/components/schemas/{name}"))
}

#[cfg(test)]
mod tests {
    use serde::{Deserialize, Serialize};

    use super::*;

    #[derive(Serialize, Deserialize, JsonSchema)]
    #[serde(deny_unknown_fields)]
    struct Sample {
        count: u64,
        /// Share of the sample.
        share: Option<f64>,
        #[schemars(schema_with = "job_state")]
        state: String,
    }

    #[test]
    fn an_optional_field_is_written_but_need_not_be_sent() {
        let (written, sent) = (of_response::<Sample>(), of_request::<Sample>());
        assert_eq!(written["required"], json!(["count", "share", "state"]));
        assert_eq!(sent["required"], json!(["count", "state"]));
        for schema in [written, sent] {
            let share = json!({"type": ["number", "null"], "description": "Share of the sample."});
            assert_eq!(schema["properties"]["share"], share);
            assert_eq!(schema["properties"]["count"], json!({"type": "integer", "minimum": 0}));
            assert_eq!(schema["properties"]["state"], json!({"$ref": "#/components/schemas/JobState"}));
            assert_eq!(schema["additionalProperties"], json!(false));
            assert_eq!(schema.get("title"), None);
        }
    }
}
