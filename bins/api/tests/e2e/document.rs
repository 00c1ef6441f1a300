//! The OpenAPI document of a running API, and requests made of its examples.

use std::collections::BTreeMap;

use jsonschema::Validator;
use reqwest::{Method, RequestBuilder, Response};
use serde_json::{Map, Value, json};

use crate::harness::{Api, header};

/// Path of the document.
pub(crate) const PATH: &str = "/openapi.json";
/// Methods by which an operation may go.
const METHODS: [(&str, Method); 4] =
    [("get", Method::GET), ("post", Method::POST), ("put", Method::PUT), ("delete", Method::DELETE)];
/// Names that are used elsewhere than where they are created.
const ALIASES: [(&str, &str); 1] = [("/api/preferences/{user}", "/api/tenants/{id}/users/{user}")];

/// The document.
pub(crate) struct Document(pub(crate) Value);

/// One of its operations.
pub(crate) struct Operation {
    pub(crate) id: String,
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) audience: String,
    pub(crate) said: Value,
}

impl Document {
    /// Loads the document from this API, without credentials.
    pub(crate) async fn of(api: &Api) -> Self {
        Self(api.json(PATH).await)
    }

    /// All operations, in the document's order.
    pub(crate) fn operations(&self) -> Vec<Operation> {
        let paths = self.0["paths"].as_object().expect("paths");
        let mut all = Vec::new();
        for (path, item) in paths {
            for (name, method) in METHODS {
                let Some(said) = item.get(name) else { continue };
                let text = |field: &str| said[field].as_str().expect("a text").to_owned();
                all.push(Operation {
                    id: text("operationId"),
                    method,
                    path: path.clone(),
                    audience: text("x-audience"),
                    said: said.clone(),
                });
            }
        }
        assert!(all.len() > 40, "{} operations", all.len());
        all
    }

    /// Returns a validator for `schema`, which may refer to components.
    pub(crate) fn validator(&self, schema: &Value) -> Validator {
        let whole = json!({"allOf": [schema], "components": self.0["components"]});
        let options = jsonschema::options().with_draft(jsonschema::Draft::Draft202012).should_validate_formats(true);
        options.build(&whole).expect("a schema of JSON Schema")
    }

    /// Returns the faults of `value` according to `schema`.
    pub(crate) fn faults(&self, schema: &Value, value: &Value) -> Vec<String> {
        let validator = self.validator(schema);
        validator.iter_errors(value).map(|fault| format!("{}: {fault}", fault.instance_path())).collect()
    }

    /// The schema that `schema` is or names.
    pub(crate) fn resolve<'a>(&'a self, schema: &'a Value) -> &'a Value {
        match schema.get("$ref").and_then(Value::as_str) {
            Some(name) => self.0.pointer(name.trim_start_matches('#')).expect("what is named is there"),
            None => schema,
        }
    }

    /// Checks an answer against its operation. Returns its status and its body, as far as that is
    /// JSON.
    ///
    /// # Errors
    ///
    /// What differs from the document.
    pub(crate) async fn check_answer(&self, operation: &Operation, answer: Response) -> Result<(u16, Value), String> {
        let status = answer.status().as_u16();
        let kind = header(&answer, "content-type");
        let kind = kind.split(';').next().unwrap_or_default().trim().to_owned();
        let Operation { id, said, .. } = operation;
        let listed = &said["responses"][status.to_string()];
        let content = &listed["content"];
        // A stream goes on for long.
        let is_endless = kind == "text/event-stream" && content[&kind].is_object();
        let text = if is_endless { String::new() } else { answer.text().await.expect("a body") };
        let fault = |what: &str| Err(format!("{id}, {status}: {what}: {text}"));
        if !listed.is_object() {
            return fault("is not listed");
        }
        if content.is_null() {
            return if text.is_empty() { Ok((status, Value::Null)) } else { fault("should have no body") };
        }
        if !content[&kind].is_object() {
            return fault(&format!("should not be `{kind}`"));
        }
        if !kind.ends_with("json") {
            return Ok((status, Value::Null));
        }
        let body: Value = serde_json::from_str(&text).expect("JSON");
        let faults = self.faults(&content[&kind]["schema"], &body);
        if faults.is_empty() { Ok((status, body)) } else { fault(&format!("{faults:#?}")) }
    }
}

impl Operation {
    /// Its parameters of that place.
    pub(crate) fn parameters(&self, place: &str) -> impl Iterator<Item = &Value> {
        let all = self.said["parameters"].as_array().map(Vec::as_slice).unwrap_or_default();
        all.iter().filter(move |parameter| parameter["in"] == place)
    }

    /// The type and the example of what is sent, where anything is.
    pub(crate) fn body(&self) -> Option<(&str, &Value)> {
        let content = self.said["requestBody"]["content"].as_object()?;
        let (kind, content) = content.iter().next()?;
        Some((kind, &content["example"]))
    }

    /// The schema of what is sent, where that is JSON.
    pub(crate) fn body_schema(&self) -> Option<&Value> {
        self.said.pointer("/requestBody/content/application~1json/schema")
    }

    /// Returns its path, with examples or known values in place of names.
    pub(crate) fn target(&self, known: &Known) -> String {
        let query: Vec<_> = self
            .parameters("query")
            .filter_map(|parameter| {
                Some(format!("{}={}", parameter["name"].as_str()?, plain(parameter.get("example")?)))
            })
            .collect();
        let mark = if query.is_empty() { "" } else { "?" };
        format!(
            "{}{mark}{}",
            self.path_with(|name, prefix| known.of(prefix).unwrap_or_else(|| self.example(name))),
            query.join("&")
        )
    }

    /// Its path, with a text in place of each name. `part` gets the name and the template up to it.
    pub(crate) fn path_with(&self, part: impl Fn(&str, &str) -> String) -> String {
        let mut template = String::new();
        let mut path = String::new();
        for segment in self.path.split('/').skip(1) {
            template = format!("{template}/{segment}");
            let name = segment.strip_prefix('{').and_then(|name| name.strip_suffix('}'));
            path.push('/');
            path.push_str(&name.map_or_else(|| segment.to_owned(), |name| part(name, &template)));
        }
        path
    }

    /// The example of a part of the path.
    pub(crate) fn example(&self, name: &str) -> String {
        let part = self.parameters("path").find(|part| part["name"] == name);
        plain(&part.expect("every part of a path is described")["example"])
    }

    /// The request of its examples.
    pub(crate) fn request(&self, api: &Api, known: &Known) -> RequestBuilder {
        let request = api.request(self.method.clone(), &self.target(known));
        match self.body() {
            Some((kind, example)) => request.header("content-type", kind).body(plain(example)),
            None => request,
        }
    }
}

/// A text as it is, anything else as JSON.
fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// Values from the `Location` headers so far: by template, the value of its last name.
#[derive(Debug, Default)]
pub(crate) struct Known(BTreeMap<String, String>);

impl Known {
    /// Returns the value of the last name of that template.
    fn of(&self, template: &str) -> Option<String> {
        let alias = ALIASES.iter().find(|(alias, _)| *alias == template).map_or(template, |(_, made)| made);
        self.0.get(alias).cloned()
    }

    /// Records the names of created objects.
    pub(crate) fn learn(&mut self, document: &Document, answer: &Response) {
        let location = header(answer, "location");
        if location.is_empty() {
            return;
        }
        let paths = document.0["paths"].as_object().map(Map::keys).expect("paths");
        // Where a word and a name both fit, the word is meant.
        let fitting = paths.filter_map(|template| Some((template, names(template, &location)?)));
        let (template, name) =
            fitting.min_by_key(|(template, _)| template.matches('{').count()).expect("a path of the API");
        self.0.insert(template.clone(), name);
    }
}

/// The last part of `path`, where it is one of `template`.
fn names(template: &str, path: &str) -> Option<String> {
    let (mut parts, words) = (path.split('/'), template.split('/'));
    if parts.clone().count() != words.clone().count() {
        return None;
    }
    let fits = parts.clone().zip(words).all(|(part, word)| word.starts_with('{') || part == word);
    parts.next_back().filter(|_| fits && template.ends_with('}')).map(str::to_owned)
}
