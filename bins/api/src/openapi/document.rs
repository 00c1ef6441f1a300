//! The OpenAPI document (3.1), whose schemas are JSON Schema 2020-12.

use serde_json::{Map, Value, json};

use super::operation::Operation;
use super::schema::{between, map, object, open, text, told};
use tidegate_web::sessions;

const ABOUT: &str = "Tiered caching, rate limiting, durable jobs and performance monitoring over HTTP. \
    JSON in and out. Errors are problem details (RFC 9457) with `request_id`. Unknown fields and wrong types are 400, values that \
    can't be 422, larger bodies 413. Lists go on at `next_cursor`. Every answer has `X-Request-Id`.";

/// Writes the document: the operations by path, and the schemas that they name.
pub(super) fn write(operations: &[Operation], schemas: Map<String, Value>) -> Value {
    let mut paths = Map::new();
    let mut tags = Vec::new();
    for operation in operations {
        let path = paths.entry(operation.path).or_insert_with(|| json!({}));
        path[operation.method.as_str().to_ascii_lowercase()] = operation.json();
        if !tags.contains(&operation.tag()) {
            tags.push(operation.tag());
        }
    }
    let mut all = Map::new();
    all.insert("Problem".to_owned(), problem());
    all.extend(schemas);
    json!({
        "openapi": "3.1.0",
        "info": {"title": "Tidegate", "version": env!("CARGO_PKG_VERSION"), "description": ABOUT, "license": {"name": "MIT OR Apache-2.0"}},
        "servers": [{"url": "/"}],
        "tags": tags.iter().map(|tag| json!({"name": tag})).collect::<Vec<_>>(),
        "paths": paths,
        "components": {
            "schemas": all,
            "securitySchemes": {
                "operator": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "A token from the settings: `read`, `admin` or `service`; the admin token may do what the others may. \
                        While none is set, operations are open to direct connections from the machine itself.",
                },
                "tenant": {
                    "type": "http",
                    "scheme": "bearer",
                    "bearerFormat": "tk_…",
                    "description": "An API key of the tenant.",
                },
                "session": {
                    "type": "apiKey",
                    "in": "cookie",
                    "name": sessions::NAME,
                    "description": "The session of a user, begun by `POST /api/session`; it speaks for the user's tenant.",
                },
            },
        },
    })
}

/// Problem details; kinds may have members of their own.
fn problem() -> Value {
    open(object([
        ("type", json!({"type": "string", "pattern": "^urn:tidegate:problem:[a-z-]+$"})),
        ("title", text()),
        ("status", between(400, 599)),
        ("detail", text()),
        ("request_id", text()),
        ("trace_id", text()),
        ("fields?", told(map(text()), "What is wrong with each field.")),
    ]))
}
