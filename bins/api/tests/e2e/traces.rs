//! What an OpenTelemetry collector gets: one trace from request to statement, figures, no secret.

mod collector;

use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use reqwest::{Method, StatusCode};
use serde_json::json;
use tidegate_testkit::redis::RedisServer;
use tidegate_testkit::{free_port, poll_until};
use tokio::net::TcpListener;

use crate::backend::Servers;
use crate::harness::{Api, DEADLINE, csv, schedule, success_json};
use collector::{Collector, Sent, text};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const CALLER: &str = "00f067aa0ba902b7";
const ENDPOINT: &str = "TIDEGATE_OTLP_ENDPOINT";

fn of_kind(sent: &Sent, kind: SpanKind) -> bool {
    sent.span.kind == i32::from(kind)
}

#[tokio::test]
async fn one_trace_from_request_through_job_to_sql() {
    let collector = Collector::start().await;
    let url = collector.url();
    let to_collector = [(ENDPOINT, url.as_str()), ("TIDEGATE_OTLP_HEADERS", "x-collector-key=k1,x-team=tide")];
    let servers = Servers::Single(RedisServer::start().await);
    let mut variables = to_collector.to_vec();
    variables.push(("TIDEGATE_WORKER", "none"));
    let mut api = Api::start_on(servers, &variables).await;
    let mut worker = api.worker(&to_collector).start().expect("the worker starts");
    api.create_tenant("acme", "enterprise").await;

    // A trace that its caller does not record, so no service after it does.
    let unrecorded = "0af7651916cd43dd8448eb211c80319c";
    let quiet = api.get_as("acme", "/api/schedules").header("traceparent", format!("00-{unrecorded}-{CALLER}-00"));
    success_json(quiet).await;
    let import = api.request(Method::POST, "/api/schedules/import").header("x-tenant-id", "acme");
    let import = import.header("content-type", "text/csv").header("traceparent", format!("00-{TRACE}-{CALLER}-01"));
    let job = success_json(import.body(csv(20, &[7]))).await;
    api.job_in_state(job["job_id"].as_str().expect("an id"), "done").await;
    worker.stop().await.expect("it ends");
    api.process.stop().await.expect("it ends");

    let spans = collector.spans();
    let of_trace: Vec<_> = spans.iter().filter(|sent| sent.trace() == TRACE).collect();
    let only = |kind| {
        let mut found = of_trace.iter().filter(|sent| of_kind(sent, kind));
        let first = found.next().unwrap_or_else(|| panic!("no span of {kind:?} in {of_trace:#?}"));
        assert!(found.next().is_none(), "{of_trace:#?}");
        *first
    };
    let request = only(SpanKind::Server);
    assert_eq!((request.parent().as_str(), request.service.as_str()), (CALLER, "tidegate-api"));
    assert_eq!(request.span.name, "POST /api/schedules/import");
    for (key, value) in [
        ("http.request.method", "POST"),
        ("http.route", "/api/schedules/import"),
        ("url.path", "/api/schedules/import"),
        ("http.response.status_code", "202"),
    ] {
        assert_eq!(request.text(key).as_deref(), Some(value), "{key}");
    }
    let run = only(SpanKind::Consumer);
    assert_eq!((run.parent(), run.service.as_str()), (request.id(), "tidegate-worker"));
    assert_eq!(
        (run.span.name.as_str(), run.text("tidegate.id").as_deref()),
        ("process import", job["job_id"].as_str())
    );
    let below_run: Vec<_> = of_trace.iter().filter(|sent| sent.parent() == run.id()).collect();
    let insert = below_run.iter().find(|sent| sent.span.name == "INSERT").unwrap_or_else(|| panic!("{below_run:#?}"));
    assert!(of_kind(insert, SpanKind::Client) && insert.text("db.system.name").as_deref() == Some("sqlite"));
    let written = insert.text("db.query.text").expect("the text");
    assert!(written.starts_with("insert into ") && written.contains('?'), "{written}");
    assert!(insert.span.start_time_unix_nano >= run.span.start_time_unix_nano);
    assert!(insert.span.end_time_unix_nano <= run.span.end_time_unix_nano);
    for sent in &of_trace {
        let has_parent = of_trace.iter().any(|other| other.id() == sent.parent());
        assert!(has_parent || sent.parent() == CALLER, "{sent:#?} hangs on nothing");
    }

    assert!(spans.iter().all(|sent| sent.trace() != unrecorded), "no service recorded that one");
    let received = collector.received();
    assert!(received.iter().all(|message| message.headers["x-collector-key"] == "k1"
        && message.headers["x-team"] == "tide"
        && message.headers["content-type"] == "application/x-protobuf"));
    assert!(spans.iter().any(|sent| sent.parent().is_empty() && of_kind(sent, SpanKind::Server)), "a trace begun here");
}

#[tokio::test]
async fn a_share_of_the_traces_begun_here_is_sent() {
    const REQUESTS: usize = 400;
    let collector = Collector::start().await;
    let mut api = Api::start_with(&[(ENDPOINT, &collector.url()), ("TIDEGATE_OTLP_SENDING", "sample=0.25")]).await;
    for _ in 0..REQUESTS {
        success_json(api.request(Method::GET, "/api/performance?type=health")).await;
    }
    api.process.stop().await.expect("it ends");
    let sent =
        collector.spans().iter().filter(|sent| sent.text("http.route").as_deref() == Some("/api/performance")).count();
    // Five standard deviations to each side.
    assert!((56..=144).contains(&sent), "{sent} of {REQUESTS}");
}

#[tokio::test]
async fn metrics_arrive_at_a_collector() {
    let collector = Collector::start().await;
    let url = collector.url();
    let variables = [
        (ENDPOINT, url.as_str()),
        ("TIDEGATE_OTLP_SENDING", "interval=1s"),
        ("TIDEGATE_OTLP_RESOURCE", "deployment.environment.name=production"),
        ("TIDEGATE_PERFORMANCE_SLOW", "request=1ms"),
    ];
    let mut api = Api::start_with(&variables).await;
    api.create_tenant("acme", "enterprise").await;
    for _ in 0..3 {
        success_json(api.get_as("acme", "/api/schedules")).await;
    }
    let again = poll_until(DEADLINE, async || (collector.metrics().len() >= 3).then_some(()));
    again.await.expect("they come again and again");
    let scraped = api.request(Method::GET, "/metrics").send().await.expect("an answer").text().await.expect("text");
    api.process.stop().await.expect("it ends");

    let last = collector.metrics().pop().expect("a message");
    let resource = &last.resource_metrics[0];
    let of_resource = &resource.resource.as_ref().expect("a resource").attributes;
    assert_eq!(text(of_resource, "service.name").as_deref(), Some("tidegate-api"));
    assert_eq!(text(of_resource, "deployment.environment.name").as_deref(), Some("production"));
    assert_eq!(text(of_resource, "service.version").as_deref(), Some(env!("CARGO_PKG_VERSION")));
    assert!(text(of_resource, "service.instance.id").is_some_and(|id| id.len() == 36));
    let metrics = &resource.scope_metrics[0].metrics;
    let named = |name: &str| metrics.iter().find(|metric| metric.name == name).and_then(|metric| metric.data.clone());

    let Some(Data::Sum(requests)) = named("tidegate_http_requests") else { panic!("{metrics:#?}") };
    let lists =
        requests.data_points.iter().find(|point| text(&point.attributes, "route").as_deref() == Some("/api/schedules"));
    let lists = lists.expect("a series of the route");
    assert_eq!(lists.value, Some(number_data_point::Value::AsDouble(3.0)));
    assert_eq!(text(&lists.attributes, "method").as_deref(), Some("GET"));
    assert!(requests.is_monotonic && lists.start_time_unix_nano < lists.time_unix_nano);

    let Some(Data::Histogram(durations)) = named("tidegate_http_request_duration_seconds") else {
        panic!("{metrics:#?}")
    };
    for point in &durations.data_points {
        assert_eq!(point.bucket_counts.len(), point.explicit_bounds.len() + 1);
        assert_eq!(point.bucket_counts.iter().sum::<u64>(), point.count);
        assert!(point.explicit_bounds.is_sorted());
    }
    // A request that took long is named beside the figures by a trace that can be looked up.
    let mut exemplars = Vec::new();
    for message in collector.metrics() {
        let metrics = &message.resource_metrics[0].scope_metrics[0].metrics;
        let durations = metrics.iter().filter(|metric| metric.name == "tidegate_http_request_duration_seconds");
        for metric in durations {
            let Some(Data::Histogram(durations)) = &metric.data else { panic!("{metric:?}") };
            exemplars.extend(durations.data_points.iter().flat_map(|point| point.exemplars.clone()));
        }
    }
    let spans = collector.spans();
    assert!(!exemplars.is_empty(), "a tenant is not created within 1 ms");
    for exemplar in exemplars {
        assert!(spans.iter().any(|sent| sent.span.trace_id == exemplar.trace_id), "{exemplar:?}");
    }
    for metric in metrics {
        let family = format!("# TYPE {} ", metric.name);
        assert!(scraped.contains(&family), "no scraper gets {}", metric.name);
    }
    // The collector gets the same metrics as a scraper.
    let families = scraped.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
    for (family, _) in families {
        let begun = [format!("{family} "), format!("{family}{{"), format!("{family}_total"), format!("{family}_count")];
        if scraped.lines().any(|line| begun.iter().any(|begun| line.starts_with(begun))) {
            assert!(named(family).is_some(), "{family} did not arrive");
        }
    }
}

/// The value of a counter of the exporter.
async fn exported(api: &Api, outcome: &str) -> f64 {
    let text = api.request(Method::GET, "/metrics").send().await.expect("an answer").text().await.expect("text");
    let name = format!("tidegate_otlp_spans_total{{outcome=\"{outcome}\"}} ");
    let value = text.lines().find_map(|line| line.strip_prefix(&name)).expect("the exporter's counter");
    value.parse().expect("a number")
}

#[tokio::test]
async fn an_absent_collector_costs_nothing() {
    // No process listens on that port.
    let mut api = Api::start_with(&[(ENDPOINT, &format!("http://127.0.0.1:{}", free_port()))]).await;
    api.create_tenant("acme", "enterprise").await;
    let failed = poll_until(DEADLINE, async || (exported(&api, "failed").await > 2.0).then_some(()));
    failed.await.expect("what could not be sent is counted");
    assert_eq!(exported(&api, "sent").await, 0.0);
    assert_eq!(api.process.stop().await.expect("it ends").code(), Some(0));
    let complaints = api.process.log().lines().iter().filter(|line| line.text.contains("did not accept")).count();
    assert_eq!(complaints, 1, "the log says so once a minute");
}

#[tokio::test]
async fn a_collector_that_hangs_costs_spans_and_no_time() {
    // The system accepts connections for it, but no process ever responds.
    let hanging = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", hanging.local_addr().expect("an address"));
    let mut api = Api::start_with(&[(ENDPOINT, &url)]).await;
    let dropped = poll_until(DEADLINE, async || {
        for _ in 0..200 {
            let answer = api.request(Method::GET, "/livez").send().await.expect("an answer");
            assert_eq!(answer.status(), StatusCode::OK);
        }
        (exported(&api, "dropped").await > 0.0).then_some(())
    });
    dropped.await.expect("what finds no room is counted");
    assert_eq!(api.process.stop().await.expect("it ends").code(), Some(0), "it does not wait for the collector");
}

#[tokio::test]
async fn a_hostile_traceparent_is_none() {
    let collector = Collector::start().await;
    let mut api = Api::start_with(&[(ENDPOINT, &collector.url())]).await;
    let hostile = [
        "x".repeat(10_000),
        format!("00-{}-{CALLER}-01", "0".repeat(32)),
        format!("00-{TRACE}-{}-01", "0".repeat(16)),
        format!("ff-{TRACE}-{CALLER}-01"),
        format!("00-{TRACE}-{CALLER}-01-more"),
        format!("00-{}-{CALLER}-01", TRACE.to_uppercase()),
        String::new(),
    ];
    for header in &hostile {
        let answer = api.request(Method::GET, "/livez").header("traceparent", header).send().await.expect("an answer");
        assert_eq!(answer.status(), StatusCode::OK, "{header}");
    }
    let twice = api.request(Method::GET, "/livez");
    let twice = twice.header("traceparent", format!("00-{TRACE}-{CALLER}-01"));
    let twice = twice.header("traceparent", format!("00-{TRACE}-{CALLER}-01"));
    assert_eq!(twice.send().await.expect("an answer").status(), StatusCode::OK);
    api.process.stop().await.expect("it ends");

    let spans = collector.spans();
    let probes: Vec<_> = spans.iter().filter(|sent| sent.text("http.route").as_deref() == Some("/livez")).collect();
    assert_eq!(probes.len(), hostile.len() + 1);
    for sent in probes {
        assert!(sent.parent().is_empty() && sent.trace() != TRACE, "{sent:#?}");
        assert!(sent.span.trace_id.iter().any(|byte| *byte != 0));
    }
}

#[tokio::test]
async fn no_secret_reaches_a_collector() {
    const ADMIN: &str = "admin-token-0123456789";
    const PASSWORD: &str = "correct-horse-battery";
    const COOKIE: &str = "session-c00kie-77";
    const EMAIL: &str = "jane.doe@example.com";
    const CARD: &str = "4111111111111111";
    const GUESSED: &str = "tk_guessed-0123456789";
    const SENT_ALONG: &str = "collector-key-0123456789";
    let collector = Collector::start().await;
    let (url, along) = (collector.url(), format!("authorization={SENT_ALONG}"));
    let variables = [
        (ENDPOINT, url.as_str()),
        ("TIDEGATE_OTLP_HEADERS", along.as_str()),
        ("TIDEGATE_OTLP_SENDING", "interval=1s"),
        ("TIDEGATE_ADMIN_TOKEN", ADMIN),
        // The log says all that there is to say: none of it may become part of a span.
        ("RUST_LOG", "trace"),
    ];
    let mut api = Api::start_with(&variables).await;
    let tenant = json!({"id": "acme", "name": EMAIL, "tier": "free"});
    let created = success_json(api.request(Method::POST, "/api/tenants").bearer_auth(ADMIN).json(&tenant)).await;
    let key = created["api_key"].as_str().expect("a key").to_owned();
    let title = format!("password={PASSWORD} card {CARD}");
    success_json(api.request(Method::POST, "/api/schedules").bearer_auth(&key).json(&schedule(&title))).await;
    for path in [
        format!("/api/schedules?token={GUESSED}&password={PASSWORD}"),
        format!("/api/tenants/{EMAIL}"),
        format!("/api/tenants/{CARD}"),
        format!("/nowhere/{GUESSED}"),
        format!("/api/queue/import/jobs/{EMAIL}"),
    ] {
        let request = api.request(Method::GET, &path).bearer_auth(GUESSED).header("cookie", format!("sid={COOKIE}"));
        let request = request.header("x-request-id", GUESSED).header("tracestate", format!("vendor={COOKIE}"));
        request.send().await.expect("an answer");
    }
    let job = json!({"kind": "schedule.import", "id": CARD, "payload": {"password": PASSWORD, "mail": EMAIL}});
    let enqueued = api.request(Method::POST, "/api/queue/import/jobs").bearer_auth(ADMIN).json(&job).send().await;
    assert_eq!(enqueued.expect("an answer").status(), StatusCode::CREATED);
    let run =
        poll_until(DEADLINE, async || collector.spans().into_iter().find(|sent| of_kind(sent, SpanKind::Consumer)));
    run.await.expect("the job was run");
    let counted = poll_until(DEADLINE, async || (collector.metrics().len() >= 2).then_some(()));
    counted.await.expect("metrics too");
    api.process.stop().await.expect("it ends");

    let (received, spans) = (collector.received(), collector.spans());
    assert!(spans.iter().any(|sent| sent.span.name == "INSERT"), "statements were reported");
    assert!(spans.iter().any(|sent| sent.text("url.path").is_some_and(|path| path.starts_with("/api/tenants/"))));
    assert!(spans.iter().all(|sent| sent.span.events.is_empty()), "no line of the log");
    for secret in [ADMIN, PASSWORD, COOKIE, EMAIL, CARD, GUESSED, SENT_ALONG, key.as_str()] {
        for message in &received {
            let is_in = message.body.windows(secret.len()).any(|part| part == secret.as_bytes());
            assert!(!is_in, "{secret} is in {}: {}", message.path, String::from_utf8_lossy(&message.body));
        }
    }
    let log = api.process.log();
    assert!(log.lines().iter().all(|line| !line.text.contains(SENT_ALONG)), "the key is for the collector alone");
}
