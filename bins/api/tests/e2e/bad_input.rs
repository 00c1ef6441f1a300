//! Whatever is sent: a clear problem+json, nothing half-written, and a process that lives on.

use std::convert::Infallible;

use futures_util::stream;
use reqwest::{Body, Method, RequestBuilder, Response, StatusCode};
use serde_json::{Value, json};
use tidegate_testkit::poll_until;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
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

fn as_json(request: RequestBuilder, body: impl Into<Body>) -> RequestBuilder {
    request.header("content-type", "application/json").body(body)
}

#[tokio::test]
async fn malformed_json() {
    let target = Target::start().await;
    let deep = "[".repeat(100_000);
    let deep_object = "{\"title\":".repeat(10_000);
    let malformed: [&[u8]; 12] = [
        b"",
        b" ",
        b"{",
        b"nul",
        b"{\"title\":}",
        b"{\"title\":\"a\"} and more",
        b"{'title':'a'}",
        b"{\"title\":\"\xff\xfe\"}",
        b"{\"title\":\"\\ud800\"}",
        b"\x00",
        deep.as_bytes(),
        deep_object.as_bytes(),
    ];
    for body in malformed {
        for request in target.json_routes() {
            let answer = send(as_json(request, body.to_vec())).await;
            let shown = String::from_utf8_lossy(&body[..body.len().min(30)]).into_owned();
            assert_eq!(answer.status(), 400, "{shown} at {}", answer.url());
            let body: Value = problem_of_any_kind(answer).await;
            let kind = body["type"].as_str().unwrap();
            // Where no field may hold what comes, it does not get as far as the fault of the syntax.
            assert!(kind.ends_with(":malformed-json") || kind.ends_with(":unexpected-json"), "{shown}: {body}");
        }
    }
    refused(as_json(target.post("/api/schedules"), "{\"title\":"), 400, "malformed-json").await;
    refused(as_json(target.post("/api/schedules"), ""), 400, "malformed-json").await;
    target.is_unharmed().await;
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

#[tokio::test]
async fn unknown_fields_and_wrong_types() {
    let target = Target::start().await;
    let mut surplus = schedule("surplus");
    surplus["colour"] = json!("red");
    let body = refused(target.post("/api/schedules").json(&surplus), 400, "unexpected-json").await;
    assert!(body["detail"].as_str().unwrap().contains("colour"), "{body}");

    let wrong = [
        ("/api/schedules", json!({"title": 7, "starts_at": "2030-01-07T09:00:00Z", "ends_at": "2030-01-07T09:15:00Z"})),
        ("/api/schedules", json!({"title": "no times"})),
        ("/api/schedules", json!({"title": "a", "starts_at": null, "ends_at": null})),
        ("/api/schedules", json!(["positional", "2030-01-07T09:00:00Z", "2030-01-07T09:15:00Z", null, []])),
        ("/api/schedules", json!("text")),
        ("/api/schedules", json!(null)),
        ("/api/tenants", json!({"id": "new", "name": "New", "admin": true})),
        ("/api/tenants", json!({"id": ["new"], "name": "New"})),
        ("/api/tenants", json!({"id": "new"})),
        ("/api/tenants", json!(["new", "New"])),
        ("/api/tenants", json!({"id": "new", "name": "New", "limits": {"per_second": 1}})),
        ("/api/tenants", json!({"id": "new", "name": "New", "limits": [1, 2, 3, 4]})),
        ("/api/rate-limit", json!({"tenant_id": "acme", "limits": [1, 2, 3, 4]})),
        ("/api/rate-limit", json!({"tenant_id": "acme", "teir": "free"})),
        ("/api/rate-limit", json!({"tenant_id": "acme", "tier": 1})),
        ("/api/rate-limit", json!({"tier": "free"})),
        ("/api/rate-limit", json!({"tenant_id": "acme", "tenantId": "bolt"})),
    ];
    for (path, body) in wrong {
        refused(target.post(path).json(&body), 400, "unexpected-json").await;
    }
    let twice = "{\"id\":\"one\",\"id\":\"two\",\"name\":\"Twice\"}";
    refused(as_json(target.post("/api/tenants"), twice), 400, "unexpected-json").await;
    for id in ["new", "one", "two"] {
        refused(target.get(&format!("/api/tenants/{id}")), 404, "not-found").await;
    }
    target.is_unharmed().await;
}

#[tokio::test]
async fn a_purge_that_selects_nothing_or_too_much() {
    let target = Target::start().await;
    let selections = [
        json!({}),
        json!({"all": false}),
        json!({"all": true, "pattern": "*"}),
        json!({"keys": ["a"], "tags": ["b"]}),
        json!({"keys": [":"]}),
        json!({"type": "schedule", "keys": ["schedule:acme"]}),
    ];
    for selection in selections {
        refused(target.request(Method::DELETE, "/api/cache").json(&selection), 422, "bad-selection").await;
    }
    target.is_unharmed().await;
}

#[tokio::test]
async fn missing_and_wrong_content_types() {
    let target = Target::start().await;
    for content_type in ["text/plain", "application/x-www-form-urlencoded", "application/jsonp", "json", "text/csv"] {
        for request in target.json_routes() {
            let request = request.header("content-type", content_type).body("{}");
            refused(request, 415, "unsupported-media-type").await;
        }
    }
    for request in target.json_routes() {
        refused(request.body("{}"), 415, "unsupported-media-type").await;
    }
    for content_type in ["", "application/json", "text/csvx", "multipart/form-data; boundary=x"] {
        let request = target.post(IMPORT).header("content-type", content_type).body("title\n");
        refused(request, 415, "unsupported-media-type").await;
    }
    refused(target.post(IMPORT).body("title\n"), 415, "unsupported-media-type").await;
    target.is_unharmed().await;
}

#[tokio::test]
async fn wrong_methods_and_unknown_paths() {
    let target = Target::start().await;
    let wrong = [
        (Method::PATCH, "/api/schedules"),
        (Method::DELETE, "/api/schedules"),
        (Method::POST, "/api/schedules/00000000-0000-7000-8000-000000000000"),
        (Method::PUT, "/api/tenants"),
        (Method::GET, "/api/tenants"),
        (Method::DELETE, "/api/tenants/acme"),
        (Method::GET, IMPORT),
        (Method::POST, "/api/cache"),
        (Method::GET, "/api/queue/import/pause"),
        (Method::OPTIONS, "/api/queue"),
        (Method::TRACE, "/api/queue"),
        (Method::POST, "/livez"),
        (Method::DELETE, "/metrics"),
    ];
    for (method, path) in wrong {
        let answer = send(target.request(method.clone(), path)).await;
        assert!(!header(&answer, "allow").is_empty(), "{method} {path}: {:?}", answer.headers());
        problem(answer, 405, "method-not-allowed").await;
    }
    for path in
        ["/", "/api", "/api/", "/api/schedules/", "/api//schedules", "/API/schedules", "/favicon.ico", "/api/../etc"]
    {
        refused(target.get(path), 404, "not-found").await;
        refused(target.post(path).body("x"), 404, "not-found").await;
    }
    target.is_unharmed().await;
}

#[tokio::test]
async fn control_characters_in_json() {
    let target = Target::start().await;
    for character in ['\0', '\u{1b}', '\n', '\u{7f}', '\u{85}', '\u{2028}'] {
        let mut body = schedule(&format!("before{character}after"));
        body["attendees"] = json!([format!("ada{character}@example.org")]);
        let body = refused(target.post("/api/schedules").json(&body), 422, "invalid-fields").await;
        assert!(body["fields"]["title"].is_string() && body["fields"]["attendees[0]"].is_string(), "{body}");

        let id = json!({"id": format!("new{character}"), "name": "New"});
        refused(target.post("/api/tenants").json(&id), 422, "bad-tenant-id").await;
        let plan = json!({"tenant_id": format!("acme{character}"), "tier": "free"});
        refused(target.post("/api/rate-limit").json(&plan), 404, "not-found").await;
    }
    for name in ["\0", "a\0b", "a\u{1b}[31mb", "line\nbreak", "", "   ", &"x".repeat(201)] {
        refused(target.post("/api/tenants").json(&json!({"id": "new", "name": name})), 422, "bad-name").await;
    }
    refused(target.get("/api/tenants/new"), 404, "not-found").await;
    target.is_unharmed().await;
}

#[tokio::test]
async fn huge_names() {
    let target = Target::start().await;
    let huge = "x".repeat(60_000);
    let paths =
        ["/api/schedules/", "/api/tenants/", "/api/queue/", "/api/queue/import/jobs/", "/api/schedules/import/"];
    for path in paths.into_iter().chain(["/api/rate-limit/tenants/", "/nowhere/"]) {
        refused(target.get(&format!("{path}{huge}")), 404, "not-found").await;
    }
    for query in ["/api/schedules?cursor=", "/api/queue/import/jobs?cursor=", "/api/queue/import/jobs?state="] {
        let answer = send(target.get(&format!("{query}{huge}"))).await;
        assert_eq!(answer.status(), 422, "{query}");
        assert!(problem_of_any_kind(answer).await.to_string().len() < 8_000, "{query}");
    }
    refused(target.get(&format!("/api/schedules?{huge}=1")), 400, "bad-query").await;
    let unknown_limiter = format!("/api/rate-limit?key=acme&limiter={huge}");
    refused(target.request(Method::DELETE, &unknown_limiter), 404, "not-found").await;

    refused(target.post("/api/tenants").json(&json!({"id": huge, "name": "New"})), 422, "bad-tenant-id").await;
    refused(target.post("/api/tenants").json(&json!({"id": "new", "name": huge})), 422, "bad-name").await;
    refused(target.post("/api/tenants").json(&json!({"id": "new", "name": "New", "tier": huge})), 422, "bad-tier")
        .await;
    refused(target.post("/api/rate-limit").json(&json!({"tenant_id": huge, "tier": "free"})), 404, "not-found").await;
    refused(target.post("/api/tenants").json(&json!({&huge: 1})), 400, "unexpected-json").await;
    refused(target.post("/api/schedules").json(&schedule(&huge)), 422, "invalid-fields").await;
    let mut crowd = schedule("crowd");
    crowd["attendees"] = json!(vec![&huge; 10]);
    refused(target.post("/api/schedules").json(&crowd), 422, "invalid-fields").await;
    target.is_unharmed().await;
}

/// A body of that many bytes in pieces, whose length is not announced.
fn pieces(bytes: usize) -> Body {
    const PIECE: usize = 64 << 10;
    let pieces = std::iter::repeat_n(vec![b'x'; PIECE], bytes.div_ceil(PIECE));
    Body::wrap_stream(stream::iter(pieces.map(Ok::<_, Infallible>)))
}

#[tokio::test]
async fn a_body_of_a_hundred_megabytes() {
    let target = Target::start().await;
    let body = vec![b' '; 100 << 20];
    for request in target.json_routes() {
        let refusal = refused(as_json(request, body.clone()), 413, "too-large").await;
        assert!(refusal["detail"].as_str().unwrap().contains("1048576"), "{refusal}");
    }
    let refusal = refused(target.post(IMPORT).header("content-type", "text/csv").body(body), 413, "too-large").await;
    assert!(refusal["detail"].as_str().unwrap().contains("67108864"), "{refusal}");
    target.is_unharmed().await;
}

#[tokio::test]
async fn a_body_over_the_limit_whose_length_is_not_announced() {
    let target = Target::start_with(&[("TIDEGATE_HTTP_MAX_IMPORT", "2MiB")]).await;
    for request in target.json_routes() {
        refused(as_json(request, pieces(20 << 20)), 413, "too-large").await;
    }
    for content_type in ["text/csv", "application/x-ndjson"] {
        let upload = target.post(IMPORT).header("content-type", content_type).body(pieces(20 << 20));
        refused(upload, 413, "too-large").await;
    }
    target.is_unharmed().await;
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

#[tokio::test]
async fn an_upload_that_is_cut_off_leaves_nothing() {
    let target = Target::start().await;
    for framing in ["content-length: 1000000", "transfer-encoding: chunked"] {
        let mut connection = connect(&target).await;
        let head =
            format!("POST {IMPORT} HTTP/1.1\r\nhost: localhost\r\nx-tenant-id: acme\r\ncontent-type: text/csv\r\n");
        let data = "title,starts_at,ends_at,recurrence,attendees\r\n";
        let chunk =
            if framing.contains("chunked") { format!("{:x}\r\n{data}\r\n", data.len()) } else { data.to_owned() };
        connection.write_all(format!("{head}{framing}\r\n\r\n{chunk}").as_bytes()).await.unwrap();
        let begun = poll_until(DEADLINE, async || (!target.spooled().is_empty()).then_some(()));
        begun.await.expect("the upload has begun");
        drop(connection);
        let gone = poll_until(DEADLINE, async || target.spooled().is_empty().then_some(()));
        gone.await.expect("nothing is left of it");
    }
    target.is_unharmed().await;
}

#[tokio::test]
async fn a_json_body_that_is_cut_off_changes_nothing() {
    let target = Target::start().await;
    let mut connection = connect(&target).await;
    let head =
        "POST /api/schedules HTTP/1.1\r\nhost: localhost\r\nx-tenant-id: acme\r\ncontent-type: application/json\r\n";
    connection.write_all(format!("{head}content-length: 500\r\n\r\n{{\"title\":").as_bytes()).await.unwrap();
    // Half closed: nothing more will come, and an answer could still be read.
    connection.shutdown().await.unwrap();
    let answer = rest(connection).await;
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 400"), "{answer}");
    target.is_unharmed().await;
}

#[tokio::test]
async fn a_body_that_stalls_is_not_waited_for() {
    let target = Target::start_with(&[("TIDEGATE_HTTP_REQUEST_TIMEOUT", "200ms")]).await;
    let stalled = |path: &str, content_type: &str| {
        let body = Body::wrap_stream(stream::pending::<Result<Vec<u8>, Infallible>>());
        target.post(path).header("content-type", content_type).body(body)
    };
    refused(stalled("/api/schedules", "application/json"), 503, "timeout").await;
    refused(stalled(IMPORT, "text/csv"), 408, "stalled").await;
    target.is_unharmed().await;
}

#[tokio::test]
async fn an_import_with_the_wrong_columns_is_refused_and_they_are_named() {
    let target = Target::start().await;
    let upload = |body: &'static [u8]| target.post(IMPORT).header("content-type", "text/csv").body(body);
    let wrong: [(&[u8], &[&str]); 7] = [
        (b"", &["empty", "title,starts_at,ends_at,recurrence,attendees"]),
        (b"\r\n\r\n", &["empty"]),
        (b"name,starts_at,ends_at,recurrence,attendees\n", &["name", "title"]),
        (b"title,starts_at\na,2030-01-07T09:00:00Z\n", &["ends_at", "recurrence", "attendees"]),
        (b"title,starts_at,ends_at,recurrence,attendees,colour\n", &["colour"]),
        (b"title,title,starts_at,ends_at,recurrence,attendees\n", &["title"]),
        (b"title;starts_at;ends_at;recurrence;attendees\n", &["title"]),
    ];
    for (file, names) in wrong {
        let body = refused(upload(file), 422, "bad-header").await;
        for name in names {
            assert!(body["detail"].as_str().unwrap().contains(name), "{name}: {body}");
        }
    }
    let not_text: [&[u8]; 4] = [b"\xff\xfe,a\n", b"\0\0\0\0", b"\"title\n", b"PK\x03\x04\x14\0\0\0\x08\0"];
    for file in not_text {
        refused(upload(file), 422, "bad-header").await;
    }
    let long: Vec<u8> = std::iter::repeat_n(b"column,".as_slice(), 100_000).flatten().copied().collect();
    refused(target.post(IMPORT).header("content-type", "text/csv").body(long), 422, "bad-header").await;
    target.is_unharmed().await;
}

#[tokio::test]
async fn unknown_tenants_and_keys() {
    let target = Target::start().await;
    let api = &target.api;
    let mut unknown = vec!["nobody", "ACME", "acme ", "*", "acme*", "../acme", "a:b", "-", "%61cme"];
    let long = "x".repeat(1_000);
    unknown.push(&long);
    for tenant in unknown {
        // A client may send spaces around a value, and they mean nothing.
        if tenant.trim() == "acme" {
            continue;
        }
        let body = refused(api.get_as(tenant, "/api/schedules"), 404, "not-found").await;
        assert_eq!(body["code"], "unknown-tenant", "{body}");
    }
    refused(api.request(Method::GET, "/api/schedules").header("x-tenant-id", b"\xff\xfe".as_slice()), 404, "not-found")
        .await;
    refused(api.request(Method::GET, "/api/schedules"), 401, "unauthorized").await;
    for key in ["tk_", "tk_0000", "tk_*", "TK_x", "x"] {
        refused(api.request(Method::GET, "/api/schedules").bearer_auth(key), 401, "unauthorized").await;
    }
    for scheme in ["Basic dGs6dGs=", "Bearer", "Bearer ", "tk_x"] {
        let request = api.request(Method::GET, "/api/schedules").header("authorization", scheme);
        refused(request, 401, "unauthorized").await;
    }
    refused(api.request(Method::GET, "/api/tenants/nobody"), 404, "not-found").await;
    refused(api.request(Method::GET, "/api/rate-limit/tenants/nobody"), 404, "not-found").await;
    let plan = json!({"tenant_id": "nobody", "tier": "free"});
    refused(api.request(Method::POST, "/api/rate-limit").json(&plan), 404, "not-found").await;
    target.is_unharmed().await;
}

#[tokio::test]
async fn unknown_queues_and_jobs() {
    let target = Target::start().await;
    for queue in ["nothing", "IMPORT", "*", "import*", "import:", "..%2f"] {
        let body = refused(target.get(&format!("/api/queue/{queue}")), 404, "not-found").await;
        assert!(body["detail"].as_str().unwrap().contains("import"), "it names those that are: {body}");
        refused(target.get(&format!("/api/queue/{queue}/jobs")), 404, "not-found").await;
        refused(target.post(&format!("/api/queue/{queue}/pause")), 404, "not-found").await;
        refused(target.post(&format!("/api/queue/{queue}/resume")), 404, "not-found").await;
        refused(target.get(&format!("/api/queue/{queue}/jobs/1")), 404, "not-found").await;
    }
    for job in ["1", "00000000000070008000000000000000", "*", "a%20b", "%00", "'%3B--"] {
        let path = format!("/api/queue/import/jobs/{job}");
        refused(target.get(&path), 404, "not-found").await;
        refused(target.request(Method::DELETE, &path), 404, "not-found").await;
        refused(target.post(&format!("{path}/retry")), 404, "not-found").await;
        refused(target.get(&format!("{IMPORT}/{job}")), 404, "not-found").await;
        refused(target.get(&format!("{IMPORT}/{job}/rejects")), 404, "not-found").await;
    }
    target.is_unharmed().await;
}

#[tokio::test]
async fn bad_cursors_and_limits() {
    let target = Target::start().await;
    for cursor in ["x", "-1", "0", "%00", "7fffffffffffffff", &"g".repeat(48), &"f".repeat(47), "1.2.3", "%F0%9F%8C%8A"]
    {
        let body = refused(target.get(&format!("/api/schedules?cursor={cursor}")), 422, "bad-cursor").await;
        assert!(body["detail"].as_str().unwrap().contains("cursor"), "{body}");
    }
    for cursor in ["x", "1.2", "1.2.3.4", "99999999999999999999.1.1"] {
        refused(target.get(&format!("/api/queue/import/jobs?cursor={cursor}")), 422, "bad-query").await;
    }
    for limit in ["0", "201", "4294967296"] {
        refused(target.get(&format!("/api/schedules?limit={limit}")), 422, "bad-limit").await;
        refused(target.get(&format!("/api/queue/import/jobs?limit={limit}")), 422, "bad-query").await;
        refused(target.get(&format!("/api/performance?limit={limit}")), 422, "bad-limit").await;
    }
    for query in
        ["limit=-1", "limit=", "limit=ten", "limit=1.5", "limit=99999999999999999999999", "limit=1&limit=2", "page=2"]
    {
        for path in ["/api/schedules", "/api/queue/import/jobs", "/api/performance"] {
            refused(target.get(&format!("{path}?{query}")), 400, "bad-query").await;
        }
    }
    refused(target.get("/api/queue/import/jobs?state=tired"), 422, "bad-query").await;
    refused(target.get("/api/performance?type=gossip"), 422, "bad-type").await;
    for query in ["", "limiter=api", "key=x", "limiter=api&key=x&more=1"] {
        refused(target.request(Method::DELETE, &format!("/api/rate-limit?{query}")), 400, "bad-query").await;
    }
    // As good as any: nothing lies behind it.
    let end = format!("/api/schedules?cursor={}", "f".repeat(48));
    assert_eq!(success_json(target.get(&end)).await, json!({"items": [], "next_cursor": null}));
    target.is_unharmed().await;
}

#[tokio::test]
async fn bad_tiers_and_limits_of_tenants() {
    let target = Target::start().await;
    let create = |tier: &str, limits: Value| {
        target.post("/api/tenants").json(&json!({"id": "new", "name": "New", "tier": tier, "limits": limits}))
    };
    let change = |limits: Value| target.post("/api/rate-limit").json(&json!({"tenant_id": "acme", "limits": limits}));
    for tier in ["", "gold", "FREE", "free ", "\0"] {
        let body = refused(create(tier, json!({})), 422, "bad-tier").await;
        assert!(body["detail"].as_str().unwrap().contains("tier"), "{body}");
        let plan = json!({"tenant_id": "acme", "tier": tier});
        refused(target.post("/api/rate-limit").json(&plan), 422, "bad-tier").await;
    }
    for field in ["per_minute", "per_hour", "per_day", "max_users"] {
        refused(create("free", json!({field: 0})), 422, "bad-limits").await;
        refused(change(json!({field: 0})), 422, "bad-limits").await;
        for wrong in [json!(-1), json!(1.5), json!("60"), json!(1e300), json!(true)] {
            refused(create("free", json!({field: wrong})), 400, "unexpected-json").await;
            refused(change(json!({field: wrong})), 400, "unexpected-json").await;
        }
    }
    for field in ["per_minute", "per_hour", "per_day"] {
        for too_much in [1_u64 << 53, u64::MAX] {
            refused(create("free", json!({field: too_much})), 422, "bad-limits").await;
            refused(change(json!({field: too_much})), 422, "bad-limits").await;
        }
    }
    refused(change(json!({"max_users": 1_u64 << 32})), 400, "unexpected-json").await;
    refused(target.get("/api/tenants/new"), 404, "not-found").await;
    let plan = target.api.json("/api/rate-limit/tenants/acme").await;
    assert_eq!(plan["limits"], json!({"per_minute": 1_000, "per_hour": 50_000, "per_day": 500_000, "max_users": null}));
    target.is_unharmed().await;
}

/// Sends a request with a path as it is, which a client library would mend first.
async fn get_raw(target: &Target, path: &str) -> (StatusCode, String) {
    let mut connection = connect(target).await;
    let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nx-tenant-id: acme\r\nconnection: close\r\n\r\n");
    connection.write_all(request.as_bytes()).await.expect("a request");
    let answer = rest(connection).await;
    let status = answer.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a status");
    (status, answer)
}

#[tokio::test]
async fn percent_encoded_junk_in_paths() {
    let target = Target::start().await;
    let prefixes =
        ["/api/schedules/", "/api/tenants/", "/api/queue/", "/api/queue/import/jobs/", "/api/schedules/import/"];
    for prefix in prefixes.into_iter().chain(["/api/rate-limit/tenants/", "/"]) {
        for junk in [
            "%",
            "%zz",
            "%00",
            "%ff",
            "%c3%28",
            "%f0%9f",
            "%2e%2e%2f",
            "%2F%2F",
            "%0d%0aX-Evil:%201",
            "%25%30%30",
            "..;/",
        ] {
            let (status, answer) = get_raw(&target, &format!("{prefix}{junk}")).await;
            assert!([400, 404].contains(&status.as_u16()), "{prefix}{junk}: {answer}");
            let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
            assert!(head.contains("application/problem+json"), "{prefix}{junk}: {answer}");
            assert!(!head.to_lowercase().contains("x-evil"), "{answer}");
            let body: Value = serde_json::from_str(body).expect("JSON");
            let id = body["request_id"].as_str().expect("a request id");
            assert!(head.contains(&format!("x-request-id: {id}")), "{answer}");
        }
    }
    for query in ["limit=%", "limit=%zz", "cursor=%ff", "%ff=1", "%00"] {
        let (status, answer) = get_raw(&target, &format!("/api/schedules?{query}")).await;
        assert!([400, 422].contains(&status.as_u16()), "{query}: {answer}");
        assert!(answer.contains("application/problem+json"), "{query}: {answer}");
    }
    target.is_unharmed().await;
}

#[tokio::test]
async fn a_header_of_a_hundred_kilobytes() {
    let target = Target::start().await;
    let huge = "x".repeat(100_000);
    let key = format!("tk_{huge}");
    refused(target.api.get_as(&huge, "/api/schedules"), 404, "not-found").await;
    refused(target.api.request(Method::GET, "/api/schedules").bearer_auth(&key), 401, "unauthorized").await;
    refused(target.get("/nowhere").header("x-request-id", &huge), 404, "not-found").await;
    refused(target.post("/api/schedules").header("content-type", &huge), 415, "unsupported-media-type").await;
    let known = send(target.get("/api/schedules").header("if-none-match", &huge)).await;
    assert_eq!(known.status(), 200);
    let forwarded = send(target.api.request(Method::GET, "/api/queue").header("x-forwarded-for", &huge)).await;
    problem(forwarded, 403, "forbidden").await;
    target.is_unharmed().await;
}

#[tokio::test]
async fn a_request_id_that_could_confuse_a_log_is_replaced() {
    let target = Target::start().await;
    for bad in ["two words", "a;b", &"x".repeat(65), "a\"b", "{}"] {
        let answer = send(target.get("/nowhere").header("x-request-id", bad)).await;
        assert_ne!(header(&answer, "x-request-id"), bad);
        problem(answer, 404, "not-found").await;
    }
    let answer = send(target.get("/nowhere").header("x-request-id", "trace-42_a.b")).await;
    assert_eq!(problem(answer, 404, "not-found").await["request_id"], "trace-42_a.b");
    target.is_unharmed().await;
}

#[tokio::test]
async fn what_is_not_http_at_all() {
    let target = Target::start().await;
    let long_line = format!("GET /{} HTTP/1.1\r\n\r\n", "x".repeat(70_000));
    let many_headers = format!("GET / HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(1_000));
    let noise: [&[u8]; 8] = [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"hello\r\n\r\n",
        b"\0\0\0\0\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"POST /api/schedules HTTP/1.1\r\ncontent-length: minus one\r\n\r\n",
        b"POST /api/schedules HTTP/1.1\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n",
        long_line.as_bytes(),
        many_headers.as_bytes(),
    ];
    for bytes in noise {
        let mut connection = connect(&target).await;
        connection.write_all(bytes).await.unwrap();
        let answer = rest(connection).await;
        let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(40)]).into_owned();
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{shown}: {answer}");
    }
    target.is_unharmed().await;
}
