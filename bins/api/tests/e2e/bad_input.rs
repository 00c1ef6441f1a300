//! Whatever is sent: a clear problem+json, nothing half-written, and a process that lives on.

mod bodies;
mod json;
mod names;
mod wire;

use reqwest::{Body, Method, RequestBuilder, Response};
use serde_json::Value;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

use crate::harness::{Api, DEADLINE, header, problem, schedule, success_json};

const IMPORT: &str = "/api/schedules/import";

/// An API with a tenant `acme` and one schedule, and what must still be there afterwards.
struct Target {
    api: Api,
    schedules: Value,
}

impl Target {
    async fn start() -> Self {
        Self::start_with(&[]).await
    }

    async fn start_with(variables: &[(&str, &str)]) -> Self {
        let api = Api::start_with(variables).await;
        api.create_tenant("acme", "enterprise").await;
        let target = Self { api, schedules: Value::Null };
        success_json(target.post("/api/schedules").json(&schedule("untouched"))).await;
        let schedules = target.schedules().await;
        Self { schedules, ..target }
    }

    /// A request of the tenant.
    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.api.request(method, path).header("x-tenant-id", "acme")
    }

    fn get(&self, path: &str) -> RequestBuilder {
        self.request(Method::GET, path)
    }

    fn post(&self, path: &str) -> RequestBuilder {
        self.request(Method::POST, path)
    }

    async fn schedules(&self) -> Value {
        success_json(self.get("/api/schedules?limit=200")).await
    }

    /// Everything that takes a JSON body.
    fn json_routes(&self) -> Vec<RequestBuilder> {
        let path = format!("/api/schedules/{}", self.schedules["items"][0]["id"].as_str().expect("an id"));
        vec![
            self.post("/api/schedules"),
            self.request(Method::PUT, &path),
            self.post("/api/tenants"),
            self.post("/api/rate-limit"),
            self.request(Method::DELETE, "/api/cache"),
        ]
    }

    /// Files in the spool, whole or not.
    fn spooled(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.api.scratch.join("spool")).expect("the spool");
        entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect()
    }

    async fn is_unharmed(&self) {
        let alive = self.api.request(Method::GET, "/livez").send().await.expect("it lives");
        assert_eq!(alive.status(), 200);
        let panic = self.api.process.log().lines().into_iter().find(|line| line.text.contains("panicked"));
        assert!(panic.is_none(), "{panic:?}");
        assert_eq!(self.schedules().await, self.schedules, "the table is as it was");
        let queue = self.api.json("/api/queue/import").await;
        for state in ["ready", "delayed", "leased", "done", "dead", "cancelled"] {
            assert_eq!(queue[state], 0, "{state}: {queue}");
        }
        assert_eq!(self.spooled(), [""; 0]);
        assert_eq!(self.api.json("/api/tenants/acme").await["tier"], "enterprise");
    }
}

async fn send(request: RequestBuilder) -> Response {
    request.send().await.expect("an answer")
}

/// The answer must be that problem, and short: a client's own nonsense is not worth repeating.
async fn refused(request: RequestBuilder, status: u16, kind: &str) -> Value {
    let body = problem(send(request).await, status, kind).await;
    assert!(body.to_string().len() < 8_000, "an answer of {} bytes", body.to_string().len());
    assert!(body["detail"].as_str().is_some_and(|detail| !detail.is_empty()), "{body}");
    body
}

/// The problem+json of a refusal, whichever it is.
async fn problem_of_any_kind(answer: Response) -> Value {
    let status = answer.status().as_u16();
    assert_eq!(header(&answer, "content-type"), "application/problem+json");
    let id = header(&answer, "x-request-id");
    let body: Value = answer.json().await.expect("JSON");
    assert_eq!((body["status"].as_u64(), body["request_id"].as_str()), (Some(u64::from(status)), Some(id.as_str())));
    body
}

fn as_json(request: RequestBuilder, body: impl Into<Body>) -> RequestBuilder {
    request.header("content-type", "application/json").body(body)
}

/// A connection on which a test writes what no client library would.
async fn connect(target: &Target) -> TcpStream {
    let address = target.api.url.trim_start_matches("http://");
    TcpStream::connect(address).await.expect("a connection")
}

/// Everything that comes until the server closes.
async fn rest(mut connection: TcpStream) -> String {
    let mut bytes = Vec::new();
    let reading = connection.read_to_end(&mut bytes);
    // An error is a connection that was reset: what came before counts.
    let _ = tokio::time::timeout(DEADLINE, reading).await.expect("the server closes");
    String::from_utf8_lossy(&bytes).into_owned()
}
