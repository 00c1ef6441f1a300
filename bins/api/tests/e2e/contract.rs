//! The document says what is so: every operation is driven by its examples.

use std::collections::{BTreeMap, BTreeSet};

use reqwest::Method;
use serde_json::Value;

use crate::document::{Document, Known, Operation, PATH};
use crate::harness::{Api, header};

/// Responses that an example alone cannot produce, with the reason.
const NOT_BY_EXAMPLE: &[(&str, u16, &str)] = &[
    ("promoteJob", 409, "the job was cancelled with its queue and made ready again: none waits for its time"),
    ("showSession", 404, "a tenant asks, and no user"),
    ("readFile", 404, "no worker has written one"),
    ("deleteWebhook", 404, "its id is only in the body"),
    ("revertAction", 404, "nothing was changed on advice"),
];

#[tokio::test]
async fn every_operation_does_what_the_document_says() {
    // No worker, so that jobs are where the last request left them.
    let api = Api::start_with(&[("TIDEGATE_WORKER", "none")]).await;
    let document = Document::of(&api).await;
    let mut operations = document.operations();
    operations.sort_by_key(turn);
    let mut known = Known::default();
    let mut faults = Vec::new();
    for operation in &operations {
        let request = operation.request(&api, &known).header("x-tenant-id", "acme");
        let answer = request.send().await.expect("an answer");
        // A later one may lead to a job of another queue.
        if turn(operation) == 0 {
            known.learn(&document, &answer);
        }
        let (status, body) = match document.check_answer(operation, answer).await {
            Ok(answer) => answer,
            Err(fault) => {
                faults.push(fault);
                continue;
            }
        };
        let exception = NOT_BY_EXAMPLE.iter().find(|(id, ..)| *id == operation.id);
        let is_as_expected = exception.map_or((200..300).contains(&status), |(_, expected, _)| status == *expected);
        if !is_as_expected {
            faults.push(format!("{}, {status}: {body}", operation.id));
        }
    }
    faults.extend(not_refused(&api, &document, &operations, &known).await);
    assert!(faults.is_empty(), "{faults:#?}");
    no_panic(&api);
}

/// Orders operations: creating ones first, deleting ones last.
fn turn(operation: &Operation) -> u8 {
    match operation.method {
        Method::POST if operation.body().is_some() => 0,
        Method::GET => 1,
        Method::PUT => 2,
        Method::DELETE => 4,
        _ => 3,
    }
}

/// Sends no JSON, JSON of other fields, another type, another name, another parameter. Each must be
/// a listed problem. Returns the faults.
async fn not_refused(api: &Api, document: &Document, all: &[Operation], known: &Known) -> Vec<String> {
    let mut faults = Vec::new();
    for operation in all.iter().filter(|operation| operation.audience != "public" || operation.body().is_some()) {
        let target = operation.target(known);
        let bare = |target: &str| api.request(operation.method.clone(), target).header("x-tenant-id", "acme");
        let mut wrong = Vec::new();
        if let Some(schema) = operation.body_schema() {
            let json = |text: &'static str| bare(&target).header("content-type", "application/json").body(text);
            wrong.push(("no JSON", 400, json("{")));
            if document.resolve(schema)["additionalProperties"] == false {
                wrong.push(("a field that is none", 400, json("{\"no such field\":1}")));
            }
            wrong.push(("a list", 400, json("[]")));
            wrong.push(("a text", 415, bare(&target).header("content-type", "text/plain").body("{}")));
        }
        if operation.parameters("query").next().is_some() {
            let mark = if target.contains('?') { '&' } else { '?' };
            wrong.push(("a parameter that is none", 400, bare(&format!("{target}{mark}no-such-parameter=1"))));
        }
        // A PUT that answers 201 makes what isn't there.
        if operation.parameters("path").next().is_some()
            && operation.said["responses"].get("201").is_none_or(|_| operation.method != Method::PUT)
        {
            let path = operation.path_with(|_, _| "no-such-thing".to_owned());
            let expected =
                if operation.parameters("path").any(|part| part["schema"]["type"] == "integer") { 400 } else { 404 };
            let query = target.split_once('?').map(|(_, query)| format!("?{query}")).unwrap_or_default();
            let request = bare(&format!("{path}{query}"));
            let request = match operation.body() {
                Some((kind, example)) => request
                    .header("content-type", kind)
                    .body(example.as_str().map_or_else(|| example.to_string(), str::to_owned)),
                None => request,
            };
            wrong.push(("a name of nothing", expected, request));
        }
        for (what, expected, request) in wrong {
            let answer = request.send().await.expect("an answer");
            match document.check_answer(operation, answer).await {
                Ok((status, body)) if status == expected && body["request_id"].is_string() => {}
                Ok((status, body)) => faults.push(format!("{}, {status} with {what}: {body}", operation.id)),
                Err(fault) => faults.push(fault),
            }
        }
    }
    faults
}

fn no_panic(api: &Api) {
    let panic = api.process.log().lines().into_iter().find(|line| line.text.contains("panicked"));
    assert!(panic.is_none(), "{panic:?}");
}

#[tokio::test]
async fn the_document_is_whole_and_may_be_kept() {
    let api = Api::start().await;
    let document = Document::of(&api).await;
    let operations = document.operations();
    assert_eq!(document.0["openapi"], "3.1.0");
    assert_eq!(document.0["info"]["version"], env!("CARGO_PKG_VERSION"));

    let mut ids = BTreeSet::new();
    for operation in &operations {
        assert!(ids.insert(&operation.id), "two operations are {}", operation.id);
        assert!(!operation.path.starts_with("/dashboard"), "{} is a page", operation.path);
        is_whole(&document, operation);
    }
    for probe in ["/livez", "/readyz", "/startupz", "/health", "/metrics", PATH] {
        assert!(operations.iter().any(|operation| operation.path == probe), "{probe}");
    }
    let schemas = document.0["components"]["schemas"].as_object().expect("schemas");
    let used = references(&document.0);
    for (name, schema) in schemas {
        jsonschema::meta::validate(schema).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(used.contains_key(&format!("#/components/schemas/{name}")), "nothing names {name}");
    }
    for (reference, _) in used {
        assert!(document.0.pointer(reference.trim_start_matches('#')).is_some(), "{reference} leads nowhere");
    }

    let first = api.request(Method::GET, PATH).header("accept-encoding", "gzip").send().await.expect("an answer");
    assert_eq!(
        (header(&first, "content-encoding").as_str(), header(&first, "cache-control").as_str()),
        ("gzip", "public, max-age=300")
    );
    assert_eq!(header(&first, "vary"), "accept-encoding");
    let again =
        api.request(Method::GET, PATH).header("if-none-match", header(&first, "etag")).send().await.expect("an answer");
    assert_eq!(again.status(), 304);
}

/// Checks that parts of the path are described, that examples fit their schemas, that answers have
/// a description, and that one of them is a success.
fn is_whole(document: &Document, operation: &Operation) {
    let Operation { id, path, said, .. } = operation;
    let parts: BTreeSet<_> = path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}')).collect();
    let told: BTreeSet<_> = operation.parameters("path").filter_map(|part| part["name"].as_str()).collect();
    assert_eq!(parts, told, "{id}");
    for place in ["path", "query", "header"] {
        for parameter in operation.parameters(place) {
            let whose = format!("{id}, {}", parameter["name"]);
            assert!(place != "path" || parameter["required"] == true, "{whose} is required");
            assert!(jsonschema::meta::is_valid(&parameter["schema"]), "{whose}");
            // Without an example, what must be there can't be driven.
            assert!(parameter["required"] != true || parameter.get("example").is_some(), "{whose} has an example");
            if let Some(example) = parameter.get("example") {
                assert_eq!(document.faults(&parameter["schema"], example), [""; 0], "{whose}");
            }
        }
    }
    for (kind, content) in said["requestBody"]["content"].as_object().into_iter().flatten() {
        assert_eq!(document.faults(&content["schema"], &content["example"]), [""; 0], "the example of {id} as {kind}");
    }
    let answers = said["responses"].as_object().expect("answers");
    assert!(answers.keys().any(|status| status.starts_with('2')), "{id} never succeeds");
    for (status, answer) in answers {
        assert!(answer["description"].is_string(), "{id}, {status}");
        for content in answer["content"].as_object().into_iter().flatten().map(|(_, content)| content) {
            document.validator(&content["schema"]);
        }
    }
    let is_public = operation.audience == "public";
    assert_eq!(said["security"].as_array().expect("security").is_empty(), is_public, "{id}");
    assert!(is_public || answers.contains_key("401"), "{id}");
}

/// Every `$ref`, and how often it is there.
fn references(value: &Value) -> BTreeMap<String, usize> {
    let mut all = BTreeMap::new();
    let mut left = vec![value];
    while let Some(value) = left.pop() {
        match value {
            Value::Object(fields) => {
                if let Some(name) = fields.get("$ref").and_then(Value::as_str) {
                    *all.entry(name.to_owned()).or_default() += 1;
                }
                left.extend(fields.values());
            }
            Value::Array(items) => left.extend(items),
            _ => {}
        }
    }
    all
}
