//! The trace of a request or a job: read from the caller, and passed on to everything it causes.

mod context;
mod target;

use http::{HeaderMap, HeaderName, Method, StatusCode};
use tidegate_perfmon::TraceContext;
use tidegate_queue::Context;
use tracing::Span;

use crate::otlp;
pub use context::below;
use context::unrecorded;
pub use target::{JOB_TARGET, REQUEST_TARGET};

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// Returns the trace of a request from its `traceparent`. `None` if the header can't be parsed or
/// there are two.
#[must_use]
pub fn of_headers(headers: &HeaderMap) -> Option<TraceContext> {
    let mut sent = headers.get_all(TRACEPARENT).iter();
    let (Some(header), None) = (sent.next(), sent.next()) else { return None };
    header.to_str().ok()?.parse().ok()
}

/// Sets the trace context of a request before its span is entered.
///
/// If traces are exported, this is the span below the parent in the headers, or the root of a new
/// trace. Otherwise it is the parent in the headers, since a span in between would not be exported.
/// Without such a header the ids are new, so that everything the request causes can be identified.
/// That trace is not recorded, and its context says so.
pub fn begin_request(span: &Span, headers: &HeaderMap, method: &Method, route: &str) -> TraceContext {
    let parent = of_headers(headers);
    match otlp::adopt(span, parent) {
        Some(context) => {
            otlp::name_request(span, method, route);
            context
        }
        None => parent.unwrap_or_else(unrecorded),
    }
}

/// Records the response of a request in its span.
pub fn end_request(span: &Span, status: StatusCode) {
    otlp::answered(span, status);
}

/// Returns the span of a job's run, with the fields for the log, below the span that enqueued it.
pub fn job_span(context: &Context) -> Span {
    let span = tracing::info_span!(
        target: JOB_TARGET,
        "job",
        otel.kind = "consumer",
        queue = context.queue(),
        kind = context.kind(),
        id = %context.id(),
        attempt = context.attempt(),
        trace_parent = context.trace_parent(),
    );
    let parent = context.trace_parent().and_then(|header| header.parse().ok());
    if otlp::adopt(&span, parent).is_some() {
        otlp::name_job(&span, context.queue());
    }
    span
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    const GOOD: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    fn headers(values: &[&str]) -> HeaderMap {
        values.iter().map(|value| (TRACEPARENT, HeaderValue::from_str(value).unwrap())).collect()
    }

    #[test]
    fn a_header_that_cannot_be_read_is_none() {
        assert_eq!(of_headers(&headers(&[GOOD])).map(|context| context.to_string()).as_deref(), Some(GOOD));
        for bad in ["", "nonsense", &"0".repeat(10_000), &GOOD.replacen("00", "ff", 1), &GOOD.to_uppercase()] {
            assert_eq!(of_headers(&headers(&[bad])), None, "{bad}");
        }
        assert_eq!(of_headers(&headers(&[GOOD, GOOD])), None, "which of two would it be?");
        assert_eq!(of_headers(&headers(&[])), None);
    }

    #[test]
    fn without_an_exporter_the_callers_place_is_the_requests() {
        let given = begin_request(&Span::none(), &headers(&[GOOD]), &Method::GET, "/");
        assert_eq!(given.to_string(), GOOD);
        let (one, two) = (
            begin_request(&Span::none(), &headers(&[]), &Method::GET, "/"),
            begin_request(&Span::none(), &headers(&["nonsense"]), &Method::GET, "/"),
        );
        assert!(one.trace_id() != two.trace_id() && !one.is_sampled() && !two.is_sampled());
    }
}
