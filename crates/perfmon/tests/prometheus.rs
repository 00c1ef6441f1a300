//! The text of a scrape.
#![cfg(feature = "prometheus")]

use std::time::Duration;

use prometheus_client::encoding::text::encode;
use tidegate_perfmon::{CallOutcome, Kind, Registry, RunOutcome, StatusClass};

const MS: Duration = Duration::from_millis(1);

#[test]
fn a_scrape_contains_records_from_before_and_after_a_tick() {
    let registry = Registry::builder().build();
    let mut metrics = prometheus_client::registry::Registry::with_prefix("shop");
    metrics.register_collector(Box::new(registry.clone()));
    let endpoint = registry.endpoint("GET", "/a\"b");
    let list = registry.operation_handle(Kind::Database, "list");
    for round in 1..=3_u64 {
        endpoint.record(StatusClass::Success, MS); // exactly at the first bound
        endpoint.record(StatusClass::ServerError, MS * 4);
        endpoint.record(StatusClass::Success, Duration::from_secs(11));
        endpoint.aborted();
        list.record(MS * 20);
        let mut text = String::new();
        encode(&mut text, &metrics).unwrap();
        let labels = "method=\"GET\",route=\"/a\\\"b\"";
        let series = "shop_http_request_duration_seconds";
        for line in [
            format!("shop_http_requests_total{{{labels},status=\"2xx\"}} {}\n", 2 * round),
            format!("shop_http_requests_total{{{labels},status=\"5xx\"}} {round}\n"),
            format!("shop_http_requests_aborted_total{{{labels}}} {round}\n"),
            format!("{series}_bucket{{le=\"0.001\",{labels}}} {round}\n"),
            format!("{series}_bucket{{le=\"0.0025\",{labels}}} {round}\n"),
            format!("{series}_bucket{{le=\"0.005\",{labels}}} {}\n", 2 * round),
            format!("{series}_bucket{{le=\"10.0\",{labels}}} {}\n", 2 * round),
            format!("{series}_bucket{{le=\"+Inf\",{labels}}} {}\n", 3 * round),
            format!("{series}_count{{{labels}}} {}\n", 3 * round),
            format!("shop_http_in_flight{{{labels}}} 0\n"),
            format!("shop_operation_duration_seconds_count{{kind=\"database\",operation=\"list\"}} {round}\n"),
        ] {
            assert!(text.contains(&line), "{line}\n{text}");
        }
        registry.tick(registry.now());
    }
}

#[test]
fn help_names_each_status_that_counts_as_refused() {
    let registry = Registry::builder().build();
    let mut metrics = prometheus_client::registry::Registry::default();
    metrics.register_collector(Box::new(registry.clone()));
    registry.endpoint("GET", "/a").record(StatusClass::Success, MS);
    let mut text = String::new();
    encode(&mut text, &metrics).unwrap();
    let help = text.lines().find(|line| line.starts_with("# HELP http_requests_refused ")).expect("it has a help");
    for status in 400..=499_u16 {
        let is_named = help.contains(&status.to_string());
        assert_eq!(is_named, CallOutcome::Status(status).is_refusal(), "{status}: {help}");
    }
}

#[tokio::test]
async fn operations_are_counted_by_outcome() {
    let registry = Registry::builder().build();
    let mut metrics = prometheus_client::registry::Registry::default();
    metrics.register_collector(Box::new(registry.clone()));
    let list = registry.operation_handle(Kind::Database, "list");
    list.record(MS * 2);
    list.record(MS * 60_000);
    list.record_as(RunOutcome::Failed, MS);
    drop(tokio::time::timeout(Duration::ZERO, list.measure(std::future::pending::<()>())).await);
    let panics = tokio::spawn(list.measure(async { panic!("a planned panic") }));
    assert!(panics.await.is_err());
    let mut text = String::new();
    encode(&mut text, &metrics).unwrap();
    let labels = "kind=\"database\",operation=\"list\"";
    for line in [
        format!("operation_duration_seconds_count{{{labels}}} 4\n"),
        format!("operation_duration_seconds_bucket{{le=\"10.0\",{labels}}} 3\n"),
        format!("operation_failures_total{{{labels},class=\"failed\"}} 2\n"),
        format!("operation_failures_total{{{labels},class=\"aborted\"}} 1\n"),
    ] {
        assert!(text.contains(&line), "{line}\n{text}");
    }
}
