//! Data made from the document alone: validation must accept most of it, or the document is looser
//! than the API.

use proptest::prelude::Strategy;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use serde_json::Value;
use tidegate_testkit::scale;

use super::strange::encoded;
use super::{SETTINGS, body};
use crate::document::{Document, Operation};
use crate::harness::Api;

/// Operations whose document was looser than their validation.
const OPERATIONS: [&str; 5] = ["followEvents", "createCron", "changeLimits", "beginSession", "createTenant"];
/// Tries until a made value conforms to its schema.
const TRIES: usize = 200;

#[tokio::test]
async fn most_of_what_is_made_from_the_document_is_accepted() {
    let api = Api::start_with(&SETTINGS).await;
    let document = Document::of(&api).await;
    let operations = document.operations();
    let mut runner = TestRunner::new_with_rng(Config::default(), TestRng::from_seed(RngAlgorithm::ChaCha, &[7; 32]));
    for id in OPERATIONS {
        let operation = operations.iter().find(|operation| operation.id == id).expect("it is in the document");
        let (mut refused, each) = (Vec::new(), scale(24, 400));
        for _ in 0..each {
            let sent = made(&document, operation, &mut runner);
            let request = match operation.body() {
                Some(_) => api.request(operation.method.clone(), &operation.path).json(&sent),
                None => {
                    let topics = encoded(sent.as_str().expect("a text"));
                    api.request(operation.method.clone(), &format!("{}?topics={topics}", operation.path))
                }
            };
            let answer = request.send().await.expect("an answer");
            let status = answer.status().as_u16();
            assert!(status < 500, "{id} {status}: {sent}");
            // What is not there or is there already was understood.
            if [400, 413, 415, 422].contains(&status) {
                refused.push((sent, answer.text().await.unwrap_or_default()));
            }
        }
        assert!(refused.len() * 2 < each, "{id} refused {} of {each}, such as {:#?}", refused.len(), refused.first());
    }
}

/// A body, or the one parameter of the query, that conforms to its schema.
fn made(document: &Document, operation: &Operation, runner: &mut TestRunner) -> Value {
    let schema = match operation.body_schema() {
        Some(schema) => schema.clone(),
        None => operation.parameters("query").next().expect("a parameter")["schema"].clone(),
    };
    let values = body::value(document, &schema, 0);
    let mut made = (0..TRIES).map(|_| values.new_tree(runner).expect("a value").current());
    made.find(|value| document.faults(&schema, value).is_empty()).expect("a value that conforms")
}
