//! An answer that says no, whatever its status.

/// In a response's extensions: the caller was turned away before anything was done for it, though the status tells otherwise.
///
/// A login page to which strangers are led, say, answers 303. As a good answer it would hide an outage behind whoever asks often
/// enough. [`PerfLayer`](crate::PerfLayer) counts such an answer as it does a
/// [refusal by its status](crate::CallOutcome::is_refusal).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refused;
