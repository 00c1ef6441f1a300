//! An answer that says no, whatever its status.

/// Marks a response, in its extensions, as a refusal before any work was done, although its status
/// does not say so.
///
/// For example, a redirect of unauthenticated visitors to a login page answers 303. If it counted
/// as good, a client that asks often enough would hide an outage. [`PerfLayer`](crate::PerfLayer)
/// counts such a response like a [refusal by its status](crate::CallOutcome::is_refusal).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refused;
