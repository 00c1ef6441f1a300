//! The log line of a request.

use std::time::Duration;

use axum::extract::MatchedPath;
use axum::http::{HeaderValue, Method, StatusCode};
use tidegate_model::tenant::TenantId;
use tidegate_perfmon::{TraceContext, UNMATCHED};

#[derive(Debug)]
pub(super) struct Line {
    pub(super) method: &'static str,
    pub(super) route: Option<MatchedPath>,
    pub(super) status: Option<StatusCode>,
    /// Size of the body as sent, in bytes.
    pub(super) bytes: u64,
    /// Time from the head to the last byte of the response.
    pub(super) elapsed: Duration,
    pub(super) whole: bool,
    pub(super) id: Option<HeaderValue>,
    pub(super) trace: Option<TraceContext>,
    pub(super) tenant: Option<TenantId>,
}

/// Any token may be a method, even a secret.
pub(super) fn name_of(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::DELETE => "DELETE",
        Method::PATCH => "PATCH",
        Method::OPTIONS => "OPTIONS",
        Method::TRACE => "TRACE",
        Method::CONNECT => "CONNECT",
        _ => "OTHER",
    }
}

pub(super) fn write(line: &Line) {
    let trace_id = line.trace.map(|trace| format!("{:032x}", trace.trace_id()));
    tracing::info!(
        target: "tidegate::access",
        method = line.method,
        // The template instead of the path, in which a client may write anything.
        route = line.route.as_ref().map_or(UNMATCHED, MatchedPath::as_str),
        status = line.status.map(|status| status.as_u16()),
        bytes = line.bytes,
        elapsed = ?line.elapsed,
        whole = line.whole,
        request_id = line.id.as_ref().and_then(|id| id.to_str().ok()),
        trace_id = trace_id.as_deref(),
        tenant = line.tenant.as_ref().map(TenantId::as_str),
        "request"
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_method_of_ones_own_is_not_repeated() {
        assert_eq!(name_of(&Method::from_bytes(b"hunter2").unwrap()), "OTHER");
        assert_eq!(name_of(&Method::PATCH), "PATCH");
    }
}
