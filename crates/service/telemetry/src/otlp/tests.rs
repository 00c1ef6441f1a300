//! Tests of exported spans and statements, without a collector.

use tidegate_perfmon::TraceContext;
use tidegate_settings::test_ground::check_with;
use tracing::{Dispatch, dispatcher};
use tracing_subscriber::layer::SubscriberExt;

use super::spans::Item;
use super::*;
use crate::listeners;

const CALLER: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

fn settings() -> Settings {
    check_with(&[("TIDEGATE_OTLP_ENDPOINT", "http://127.0.0.1:4318")]).unwrap()
}

#[test]
fn a_statement_is_a_span_below_its_request_and_shows_no_literal() {
    let subscriber = tracing_subscriber::registry().with(listeners(&settings()));
    let own = dispatcher::with_default(&Dispatch::new(subscriber), || {
        listen();
        let request = tracing::debug_span!(target: trace::REQUEST_TARGET, "request", otel.kind = "server", path = "/a");
        let own = adopt(&request, CALLER.parse().ok()).expect("spans are exported");
        request.in_scope(|| {
            // The name is not one that is masked: the value is hidden because the statement is
            // reduced to its shape.
            let statement = "\n\nSELECT *\nFROM account\nWHERE name = 'hunter2' AND card = 4111111111111111\n";
            tracing::debug!(
                target: "sqlx::query",
                summary = "SELECT * FROM account …",
                db.statement = statement,
                rows_returned = 3_u64,
                elapsed_secs = 0.25,
            );
            tracing::warn!(target: "sqlx::query", summary = "PRAGMA key = 'hunter2'", db.statement = "", elapsed_secs = 1.5);
            tracing::error!("a line with hunter2");
        });
        // Outside of any request.
        tracing::debug!(target: "sqlx::query", summary = "SELECT 1", db.statement = "", elapsed_secs = 0.1);
        own
    });

    let mut queue = OUTLET.get().and_then(|outlet| outlet.take_queue()).expect("no task sends yet");
    let mut spans = Vec::new();
    while let Ok(Item::Ended(mut span)) = queue.try_recv() {
        gate::pass(&mut span);
        spans.push(span);
    }
    let names: Vec<_> = spans.iter().map(|span| &*span.name).collect();
    assert_eq!(names, ["SELECT", "PRAGMA", "request"]);
    let parent = |of: usize| u64::from_be_bytes(spans[of].parent_span_id.to_bytes());
    let caller: TraceContext = CALLER.parse().unwrap();
    assert_eq!([parent(0), parent(1), parent(2)], [own.span_id(), own.span_id(), caller.span_id()]);
    assert_eq!((own.trace_id(), own.is_sampled()), (caller.trace_id(), true));
    let took = spans[0].end_time.duration_since(spans[0].start_time).unwrap();
    assert_eq!(took, Duration::from_millis(250));
    let shown = format!("{spans:?}");
    assert!(shown.contains("from account where name = ? and card = ?"), "{shown}");
    assert!(!shown.contains("hunter2") && !shown.contains("4111111111111111"), "{shown}");
}
