//! Targets of the spans that begin a trace.

/// Target of the span of each request. Listeners select it by this name. The log includes it at
/// level `debug`.
pub const REQUEST_TARGET: &str = "tidegate::request";
/// Target of the span of each run of a job.
pub const JOB_TARGET: &str = "tidegate::job";
