//! A trace in JSON: its id in 32 hexadecimal digits.

use serde::Serializer;

use crate::request::trace_context::TraceContext;

pub(crate) fn optional<S: Serializer>(trace: &Option<TraceContext>, serializer: S) -> Result<S::Ok, S::Error> {
    match trace {
        Some(trace) => serializer.collect_str(&format_args!("{:032x}", trace.trace_id())),
        None => serializer.serialize_none(),
    }
}
