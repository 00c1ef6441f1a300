//! A notice: a step of an alert, and the process that reports it.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tidegate_base::identity::Identity;
use tidegate_perfmon::{TraceContext, Transition};

use crate::trace;

/// A message for every receiver.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Notice {
    /// Id of the notice. It is the same when the notice is sent again.
    pub(super) event: String,
    /// The step.
    pub(super) step: Transition,
    /// The process that reports it. Of several processes, the first.
    pub(super) source: Identity,
}

impl Notice {
    /// Returns a key that is the same for all notices of one rule and subject in one installation.
    /// With it a receiver can match end and start, and does not open an incident twice.
    pub(super) fn dedup_key(&self, installation: &str) -> String {
        let alert = &self.step.alert;
        let parts = [installation, &alert.rule, &alert.subject];
        let digest = Sha256::digest(parts.map(|part| format!("{}:{part}", part.len())).concat());
        format!("tidegate-{}", data_encoding::HEXLOWER.encode(&digest[..16]))
    }

    /// Returns a trace context below the alert's example trace, or of a new trace if there is none.
    pub(super) fn trace(&self) -> TraceContext {
        let example = self.step.alert.trace_id.as_deref().and_then(|id| u128::from_str_radix(id, 16).ok());
        trace::below(example)
    }
}
