//! One operation: its request, its audience, and its responses.

#![expect(clippy::needless_pass_by_value, reason = "a schema or an example is made where it is handed over")]

use std::collections::BTreeMap;

use axum::http::{Method, StatusCode};
use serde_json::{Map, Value, json};

use super::audience::Audience;
use super::schema::named;

/// One method at one path.
#[derive(Debug, Clone)]
pub(crate) struct Operation {
    pub(super) id: &'static str,
    pub(super) method: Method,
    pub(super) path: &'static str,
    pub(super) audience: Audience,
    pub(super) summary: &'static str,
    parameters: Vec<Value>,
    body: Option<Value>,
    answers: BTreeMap<u16, Value>,
    /// An upload may take long as long as it makes progress. It checks that itself.
    pub(super) is_unhurried: bool,
    /// The responses of its path do not count for the service's health.
    pub(super) is_unjudged: bool,
}

/// Creates a GET at `path`. `id` is unique: code generators derive function names from it.
pub(crate) fn get(id: &'static str, path: &'static str, audience: Audience, summary: &'static str) -> Operation {
    Operation::new(id, Method::GET, path, audience, summary)
}

pub(crate) fn post(id: &'static str, path: &'static str, audience: Audience, summary: &'static str) -> Operation {
    Operation::new(id, Method::POST, path, audience, summary)
}

pub(crate) fn put(id: &'static str, path: &'static str, audience: Audience, summary: &'static str) -> Operation {
    Operation::new(id, Method::PUT, path, audience, summary)
}

pub(crate) fn delete(id: &'static str, path: &'static str, audience: Audience, summary: &'static str) -> Operation {
    Operation::new(id, Method::DELETE, path, audience, summary)
}

impl Operation {
    fn new(id: &'static str, method: Method, path: &'static str, audience: Audience, summary: &'static str) -> Self {
        let (parameters, answers) = (Vec::new(), BTreeMap::new());
        Self {
            id,
            method,
            path,
            audience,
            summary,
            parameters,
            body: None,
            answers,
            is_unhurried: false,
            is_unjudged: false,
        }
    }

    pub(crate) fn part(self, name: &str, schema: Value, example: impl Into<Value>) -> Self {
        let part = json!({"name": name, "in": "path", "required": true, "schema": schema, "example": example.into()});
        self.parameter(part).fails(404, "It does not exist, or belongs to another tenant.")
    }

    /// Adds an optional query parameter.
    pub(crate) fn query(self, name: &str, schema: Value, description: &str) -> Self {
        self.parameter(json!({"name": name, "in": "query", "description": description, "schema": schema}))
    }

    /// Adds a required query parameter.
    pub(crate) fn needs(self, name: &str, schema: Value, example: impl Into<Value>) -> Self {
        let parameter =
            json!({"name": name, "in": "query", "required": true, "schema": schema, "example": example.into()});
        self.parameter(parameter)
    }

    pub(crate) fn header(self, name: &str, schema: Value, description: &str) -> Self {
        self.parameter(json!({"name": name, "in": "header", "description": description, "schema": schema}))
    }

    /// Adds the header that identifies a repeated request.
    pub(crate) fn repeatable(self, description: &str) -> Self {
        self.header("Idempotency-Key", json!({"type": "string", "minLength": 1, "maxLength": 255}), description)
    }

    /// Adds the parameters of a page: its length, and where it begins.
    pub(crate) fn paged(self, most: i64) -> Self {
        self.query("limit", super::schema::between(1, most), "Maximum number of items.").query(
            "cursor",
            super::schema::text(),
            "Where to continue: `next_cursor` of the previous page.",
        )
    }

    pub(crate) fn body(self, schema: Value, example: Value) -> Self {
        self.sends(true, json!({"application/json": {"schema": schema, "example": example}}))
    }

    pub(crate) fn optional_body(self, schema: Value, example: Value) -> Self {
        self.sends(false, json!({"application/json": {"schema": schema, "example": example}}))
    }

    /// Sets a file as the body, of one of these types, each with an example.
    pub(crate) fn upload(mut self, kinds: &[(&str, &str)]) -> Self {
        let content = kinds
            .iter()
            .map(|(kind, example)| ((*kind).to_owned(), json!({"schema": {"type": "string"}, "example": example})));
        let content = Value::Object(content.collect::<Map<_, _>>());
        self.is_unhurried = true;
        self.sends(true, content)
    }

    /// Leaves all responses of its path out of the service's health: the client controls their
    /// duration, or anyone may cause them.
    pub(crate) fn unjudged(mut self) -> Self {
        self.is_unjudged = true;
        self
    }

    fn sends(mut self, is_required: bool, content: Value) -> Self {
        self.body = Some(json!({"required": is_required, "content": content}));
        self.fails(408, "The body was too slow.")
            .fails(413, "The body is too large.")
            .fails(415, "The body is of another type, or it has a `Content-Encoding` other than `identity`.")
            .fails(422, "A value is not acceptable; `fields` names it where a field is at fault.")
    }

    fn parameter(mut self, parameter: Value) -> Self {
        self.parameters.push(parameter);
        self
    }

    /// Adds the response 200 with this JSON.
    pub(crate) fn ok(self, schema: Value) -> Self {
        self.answers(200, schema)
    }

    /// Adds the response 201 with this JSON.
    pub(crate) fn created(self, schema: Value) -> Self {
        self.answers(201, schema)
    }

    /// Adds the response 202 with this JSON.
    pub(crate) fn accepted(self, schema: Value) -> Self {
        self.answers(202, schema)
    }

    /// Adds a response with that status and this JSON.
    pub(crate) fn answers(self, status: u16, schema: Value) -> Self {
        self.answers_as(status, &[("application/json", schema)])
    }

    /// Adds a response with that status and one of these types.
    pub(crate) fn answers_as(mut self, status: u16, kinds: &[(&str, Value)]) -> Self {
        let content = kinds.iter().map(|(kind, schema)| ((*kind).to_owned(), json!({"schema": schema})));
        let content = Value::Object(content.collect::<Map<_, _>>());
        self.answers.insert(status, json!({"description": reason(status), "content": content}));
        self
    }

    /// Adds a response with that status and no body.
    pub(crate) fn silent(mut self, status: u16) -> Self {
        self.answers.insert(status, json!({"description": reason(status)}));
        self
    }

    /// Marks a read of which a client may store a copy: 304 if its copy is current.
    pub(crate) fn revalidates(self) -> Self {
        self.header("If-None-Match", super::schema::text(), "The `ETag` of the copy that the client has.").silent(304)
    }

    pub(crate) fn fails(mut self, status: u16, when: &str) -> Self {
        let problem =
            json!({"description": when, "content": {"application/problem+json": {"schema": named("Problem")}}});
        self.answers.insert(status, problem);
        self
    }

    /// Adds the responses that follow from its properties.
    pub(super) fn completed(mut self) -> Self {
        let has_query = self.parameters.iter().any(|parameter| parameter["in"] == "query");
        if !self.parameters.is_empty() || self.body.is_some() {
            self = self.fails(400, "The request can't be read.");
        }
        if has_query {
            self = self.fails(422, "A value is not acceptable; `fields` names it where a field is at fault.");
        }
        if self.audience != Audience::Public {
            self = self
                .fails(401, "The client is not authenticated.")
                .fails(403, "The client is not permitted to do this.")
                .fails(429, "Too many requests; `Retry-After` says when to retry.");
        }
        // A probe defines its own responses, also for a failure.
        if self.answers.contains_key(&503) { self } else { self.fails(503, "It can't be done now; try again later.") }
    }

    /// Returns the form for OpenAPI.
    pub(super) fn json(&self) -> Value {
        let answers: Map<_, _> =
            self.answers.iter().map(|(status, answer)| (status.to_string(), answer.clone())).collect();
        let mut written = json!({
            "operationId": self.id,
            "summary": self.summary,
            "tags": [self.tag()],
            "x-audience": self.audience.name(),
            "security": self.audience.security(self.method == Method::GET),
            "responses": answers,
        });
        if !self.parameters.is_empty() {
            written["parameters"] = json!(self.parameters);
        }
        if let Some(body) = &self.body {
            written["requestBody"] = body.clone();
        }
        written
    }

    /// The part of the API that it belongs to.
    pub(super) fn tag(&self) -> &'static str {
        self.path.strip_prefix("/api/").and_then(|path| path.split('/').next()).unwrap_or("service")
    }
}

fn reason(status: u16) -> &'static str {
    StatusCode::from_u16(status).ok().and_then(|status| status.canonical_reason()).unwrap_or("An answer")
}
