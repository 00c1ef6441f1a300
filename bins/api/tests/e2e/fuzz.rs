//! Requests made from the document, most of them wrong: no 5xx, no panic, and the API lives on.

mod accepted;
mod body;
mod strange;

use std::collections::BTreeSet;
use std::rc::Rc;

use futures_util::StreamExt;
use futures_util::stream;
use proptest::prelude::{Strategy, any};
use proptest::strategy::{BoxedStrategy, Just, ValueTree};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use reqwest::Method;
use serde_json::Value;
use tidegate_testkit::scale;

use self::strange::{encoded, text};
use crate::document::{Document, Known, Operation};
use crate::harness::Api;

/// Requests that are under way at a time.
const AT_ONCE: usize = 8;
/// No limiter, or it would answer in place of what is to be tried.
const SETTINGS: [(&str, &str); 5] = [
    ("TIDEGATE_LIMIT_DDOS", "mode=off"),
    ("TIDEGATE_LIMIT_API", "mode=off"),
    ("TIDEGATE_LIMIT_AUTH", "mode=off"),
    ("TIDEGATE_LIMIT_REPORT", "mode=off"),
    ("TIDEGATE_LIMIT_TENANT_MODE", "off"),
];

/// One request.
#[derive(Debug, Clone)]
struct Shot {
    id: String,
    method: Method,
    target: String,
    headers: Vec<(String, String)>,
    content_type: Option<String>,
    body: Vec<u8>,
}

#[tokio::test]
async fn no_request_made_from_the_document_breaks_anything() {
    let api = Api::start_with(&SETTINGS).await;
    let document = Document::of(&api).await;
    api.create_tenant("acme", "enterprise").await;
    let operations = document.operations();
    let known = made_by_examples(&api, &document, &operations).await;
    let shots: Vec<_> = operations.iter().map(|operation| shot(&document, operation, &known)).collect();
    let kinds = shots.len();
    // A reduced run always sends the same requests. A full run sends others each time, and a
    // failure prints the seed.
    let seed: [u8; 32] = if scale(0, 1) == 1 { rand::random() } else { [7; 32] };
    let mut runner = TestRunner::new_with_rng(Config::default(), TestRng::from_seed(RngAlgorithm::ChaCha, &seed));
    let rounds = scale(2_000, 100_000).div_ceil(kinds);
    let api = Rc::new(api);
    let mut reached = BTreeSet::new();
    for round in 0..rounds {
        let round_of: Vec<Shot> =
            shots.iter().map(|shot| shot.new_tree(&mut runner).expect("a request").current()).collect();
        let outcomes: Vec<_> =
            stream::iter(round_of).map(|shot| fire(Rc::clone(&api), shot)).buffer_unordered(AT_ONCE).collect().await;
        let (done, faults): (Vec<_>, Vec<_>) = outcomes.into_iter().partition(Result::is_ok);
        assert!(faults.is_empty(), "round {round} of seed {seed:?}: {faults:#?}");
        reached.extend(done.into_iter().filter_map(Result::ok).flatten());
    }
    // Otherwise it would only test refusals.
    assert!(reached.len() * 3 > kinds * 2, "of {kinds} operations only these ever did something: {reached:?}");
    let alive = api.request(Method::GET, "/livez").send().await.expect("it lives");
    assert_eq!(alive.status(), 200);
    let panic = api.process.log().lines().into_iter().find(|line| line.text.contains("panicked"));
    assert!(panic.is_none(), "{panic:?}");
}

/// Makes what the examples make, so that some requests meet what is there.
async fn made_by_examples(api: &Api, document: &Document, operations: &[Operation]) -> Known {
    let mut known = Known::default();
    for operation in
        operations.iter().filter(|operation| operation.method == Method::POST && operation.body().is_some())
    {
        let answer = operation.request(api, &known).header("x-tenant-id", "acme").send().await.expect("an answer");
        known.learn(document, &answer);
    }
    known
}

/// The operation, where it did what was asked.
///
/// # Errors
///
/// What is wrong with the answer.
async fn fire(api: Rc<Api>, shot: Shot) -> Result<Option<String>, String> {
    let mut request = api.request(shot.method.clone(), &shot.target).header("x-tenant-id", "acme");
    for (name, value) in &shot.headers {
        request = request.header(name, value.as_bytes());
    }
    if let Some(kind) = &shot.content_type {
        request = request.header("content-type", kind).body(shot.body.clone());
    }
    let answer = match request.send().await {
        Ok(answer) => answer,
        // What can't be written as a request was not sent.
        Err(error) if error.is_builder() => return Ok(None),
        Err(error) => return Err(format!("{error:?} to {}", brief(&shot))),
    };
    let status = answer.status();
    if status.is_server_error() {
        let told = answer.text().await.unwrap_or_default();
        return Err(format!("{status} {told} to {}", brief(&shot)));
    }
    Ok(status.is_success().then_some(shot.id))
}

/// A request for people, without the whole of a long body.
fn brief(shot: &Shot) -> String {
    let body: String = String::from_utf8_lossy(&shot.body).chars().take(2_000).collect();
    let Shot { id, method, target, headers, content_type, .. } = shot;
    let target: String = target.chars().take(500).collect();
    format!("{id}: {method} {target} {headers:?} {content_type:?} {body}")
}

/// Requests of one operation.
fn shot(document: &Document, operation: &Operation, known: &Known) -> BoxedStrategy<Shot> {
    let headers: Vec<_> = operation
        .parameters("header")
        .filter_map(|parameter| parameter["name"].as_str())
        .map(|name| header(name.to_owned()))
        .collect();
    let body = match operation.body() {
        None => Just((None, Vec::new())).boxed(),
        Some((kind, example)) => body::of(document, kind, example, operation.body_schema()),
    };
    let (id, method) = (operation.id.clone(), operation.method.clone());
    (target(document, operation, known), headers, body)
        .prop_map(move |(target, headers, (content_type, body))| Shot {
            id: id.clone(),
            method: method.clone(),
            target,
            headers: headers.into_iter().flatten().collect(),
            content_type,
            body,
        })
        .boxed()
}

/// A path and a query, as the document says or otherwise.
fn target(document: &Document, operation: &Operation, known: &Known) -> BoxedStrategy<String> {
    let good = operation.target(known);
    let good = good.split('?').next().unwrap_or_default().to_owned();
    // Parts are put in one by one: a text for each name of the path.
    let names = operation.path.matches('{').count();
    let template = operation.path.clone();
    let odd = proptest::collection::vec(strange::part(), names).prop_map(move |parts| {
        let mut parts = parts.into_iter();
        let segments = template.split('/').map(|segment| {
            if segment.starts_with('{') { parts.next().unwrap_or_default() } else { segment.to_owned() }
        });
        segments.collect::<Vec<_>>().join("/")
    });
    let path = if names == 0 { Just(good).boxed() } else { proptest::prop_oneof![3 => Just(good), 1 => odd].boxed() };
    let parameters: Vec<_> = operation.parameters("query").map(|parameter| pair(document, parameter)).collect();
    let extra = proptest::prop_oneof![8 => Just(None), 1 => strange::query().prop_map(Some)];
    (path, parameters, extra)
        .prop_map(|(path, parameters, extra)| {
            let query: Vec<_> = parameters.into_iter().flatten().chain(extra).collect();
            if query.is_empty() { path } else { format!("{path}?{}", query.join("&")) }
        })
        .boxed()
}

/// A parameter of the query with a value, good or not, or left out.
fn pair(document: &Document, parameter: &Value) -> BoxedStrategy<Option<String>> {
    let name = parameter["name"].as_str().unwrap_or_default().to_owned();
    let example =
        parameter.get("example").map(|example| example.as_str().map_or_else(|| example.to_string(), str::to_owned));
    let good = body::value(document, &parameter["schema"], 0)
        .prop_map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned));
    let value = proptest::prop_oneof![
        2 => Just(example.unwrap_or_default()),
        2 => good,
        1 => text(),
    ];
    (0_u8..6, value)
        .prop_map(move |(turn, value)| {
            let pair = format!("{name}={}", encoded(&value));
            match turn {
                0 | 1 => None,
                2 => Some(format!("{pair}&{pair}")),
                _ => Some(pair),
            }
        })
        .boxed()
}

/// A header with a valid value, or absent.
fn header(name: String) -> BoxedStrategy<Option<(String, String)>> {
    (any::<bool>(), text())
        .prop_map(move |(is_there, value)| {
            let value: String = value.chars().filter(|char| !char.is_control()).take(2_000).collect();
            is_there.then(|| (name.clone(), value))
        })
        .boxed()
}
