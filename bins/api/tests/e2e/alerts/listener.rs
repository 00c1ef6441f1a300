//! Reads a stream of server-sent events.

use std::time::Duration;

use reqwest::{Method, RequestBuilder, Response};
use serde_json::Value;

use crate::harness::{Api, DEADLINE};

/// One event.
#[derive(Debug, Clone)]
pub(crate) struct Event {
    pub(crate) name: String,
    pub(crate) id: Option<String>,
    pub(crate) data: Value,
}

/// A client of the stream.
pub(crate) struct Listener {
    answer: Response,
    text: String,
    seen: Vec<Event>,
}

impl Listener {
    /// Opens a stream, behind the event of that id where one is given.
    pub(crate) async fn open(api: &Api, path: &str, after: Option<&str>) -> Self {
        Self::read_from(api.request(Method::GET, path), after).await
    }

    /// The same for a tenant.
    pub(crate) async fn open_as(api: &Api, tenant: &str, path: &str, after: Option<&str>) -> Self {
        Self::read_from(api.get_as(tenant, path), after).await
    }

    /// The same of what is asked so.
    pub(crate) async fn read_from(request: RequestBuilder, after: Option<&str>) -> Self {
        let request = request.timeout(Duration::from_secs(600));
        let request = after.into_iter().fold(request, |request, id| request.header("last-event-id", id));
        let answer = request.send().await.expect("an answer");
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.headers()["content-type"], "text/event-stream");
        Self { answer, text: String::new(), seen: Vec::new() }
    }

    /// The next event.
    pub(crate) async fn next(&mut self) -> Event {
        let next = tokio::time::timeout(DEADLINE, self.read()).await.expect("an event in time");
        next.expect("the stream goes on")
    }

    /// The next event that is wanted; those before it are skipped.
    pub(crate) async fn until(&mut self, is_wanted: impl Fn(&Event) -> bool) -> Event {
        loop {
            let event = self.next().await;
            if is_wanted(&event) {
                return event;
            }
        }
    }

    /// Reads to the end.
    pub(crate) async fn end(&mut self) {
        let end = async { while self.read().await.is_some() {} };
        tokio::time::timeout(DEADLINE, end).await.expect("the stream ends");
    }

    /// All events until now.
    pub(crate) fn seen(&self) -> &[Event] {
        &self.seen
    }

    async fn read(&mut self) -> Option<Event> {
        loop {
            if let Some((event, rest)) = self.text.split_once("\n\n") {
                let (event, rest) = (parse(event), rest.to_owned());
                self.text = rest;
                if let Some(event) = event {
                    self.seen.push(event.clone());
                    return Some(event);
                }
                continue;
            }
            let chunk = self.answer.chunk().await.expect("the stream is whole")?;
            self.text.push_str(std::str::from_utf8(&chunk).expect("text"));
        }
    }
}

/// `None` of a comment.
fn parse(text: &str) -> Option<Event> {
    let field = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim);
    let data = serde_json::from_str(field("data")?).expect("JSON");
    Some(Event { name: field("event").expect("a name").to_owned(), id: field("id").map(str::to_owned), data })
}
