//! Short constructors for JSON Schema (2020-12).

#![expect(clippy::needless_pass_by_value, reason = "a schema or an example is made where it is handed over")]

use serde_json::{Map, Value, json};

pub(crate) fn anything() -> Value {
    json!(true)
}

pub(crate) fn text() -> Value {
    json!({"type": "string"})
}

/// A text with a minimum and a maximum number of characters.
pub(crate) fn text_of(least: usize, most: usize) -> Value {
    json!({"type": "string", "minLength": least, "maxLength": most})
}

/// A text that matches the pattern, a regular expression of JavaScript.
pub(crate) fn pattern(pattern: &str) -> Value {
    json!({"type": "string", "pattern": pattern})
}

pub(crate) fn tenant_id() -> Value {
    pattern("^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")
}

/// A text that people read: not blank, at most `most` characters, none of them a control character.
pub(crate) fn name_of(most: usize) -> Value {
    let form = format!("^[^\\p{{Cc}}]{{0,{}}}[^\\p{{Cc}}\\s][^\\p{{Cc}}]{{0,{}}}$", most - 1, most - 1);
    let mut name = pattern(&form);
    name["minLength"] = json!(1);
    name["maxLength"] = json!(most);
    name
}

/// Any of these schemas.
pub(crate) fn any_of<const N: usize>(schemas: [Value; N]) -> Value {
    json!({"anyOf": schemas.to_vec()})
}

pub(crate) fn one_of(words: &[&str]) -> Value {
    json!({"type": "string", "enum": words})
}

pub(crate) fn uuid() -> Value {
    json!({"type": "string", "format": "uuid"})
}

/// A time as RFC 3339 writes it.
pub(crate) fn time() -> Value {
    json!({"type": "string", "format": "date-time"})
}

pub(crate) fn flag() -> Value {
    json!({"type": "boolean"})
}

/// A whole number, at least 0.
pub(crate) fn count() -> Value {
    json!({"type": "integer", "minimum": 0})
}

/// A whole number within these bounds, both included.
pub(crate) fn between(least: i64, most: i64) -> Value {
    json!({"type": "integer", "minimum": least, "maximum": most})
}

pub(crate) fn number() -> Value {
    json!({"type": "number"})
}

pub(crate) fn or_null(schema: Value) -> Value {
    let mut schema = schema;
    match schema.get("type").cloned() {
        Some(Value::String(kind)) if schema.get("enum").is_none() => {
            schema["type"] = json!([kind, "null"]);
            schema
        }
        _ => json!({"anyOf": [schema, {"type": "null"}]}),
    }
}

pub(crate) fn list(items: Value) -> Value {
    json!({"type": "array", "items": items})
}

/// From `least` to `most` of these.
pub(crate) fn list_of(least: usize, most: usize, items: Value) -> Value {
    json!({"type": "array", "items": items, "minItems": least, "maxItems": most})
}

/// An object with arbitrary names.
pub(crate) fn map(values: Value) -> Value {
    json!({"type": "object", "additionalProperties": values})
}

/// A schema among the components.
pub(crate) fn named(name: &str) -> Value {
    json!({"$ref": format!("#/components/schemas/{name}")})
}

/// An object with these fields and no others. A name that ends in `?` is an optional field.
pub(crate) fn object<const N: usize>(fields: [(&str, Value); N]) -> Value {
    let mut properties = Map::new();
    let mut required = Vec::new();
    for (name, schema) in fields {
        match name.strip_suffix('?') {
            Some(name) => drop(properties.insert(name.to_owned(), schema)),
            None => {
                required.push(name);
                properties.insert(name.to_owned(), schema);
            }
        }
    }
    json!({"type": "object", "properties": properties, "required": required, "additionalProperties": false})
}

/// The same object, which may also have other fields.
pub(crate) fn open(mut object: Value) -> Value {
    if let Some(fields) = object.as_object_mut() {
        fields.remove("additionalProperties");
    }
    object
}

/// A page of a list: its items, and where the next one begins.
pub(crate) fn page(items: Value) -> Value {
    object([("items", list(items)), ("next_cursor", or_null(text()))])
}

pub(crate) fn told(mut schema: Value, description: &str) -> Value {
    if let Some(fields) = schema.as_object_mut() {
        fields.insert("description".to_owned(), description.into());
    }
    schema
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_be_left_out_is_not_required() {
        let schema = object([("a", text()), ("b?", count())]);
        assert_eq!(schema["required"], json!(["a"]));
        assert_eq!(schema["properties"]["b"], count());
        assert_eq!(
            (&schema["additionalProperties"], open(schema.clone()).get("additionalProperties")),
            (&json!(false), None)
        );
    }

    #[test]
    fn null_stands_beside_whatever_it_is() {
        assert_eq!(or_null(text()), json!({"type": ["string", "null"]}));
        // An `enum` would still refuse `null`, whatever the type says.
        assert_eq!(or_null(one_of(&["a"]))["anyOf"][1], json!({"type": "null"}));
        assert_eq!(or_null(named("Job"))["anyOf"][0], named("Job"));
    }
}
