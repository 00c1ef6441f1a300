//! The journal of changes.

use serde::Serialize;

use super::actuator::Refused;
use crate::advice::{Evidence, Symptom};

/// A change, from when it was made.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Entry {
    /// Id by which it can be reverted. Never reused.
    pub id: u64,
    /// When it was made.
    pub minute: u64,
    /// Name of the actuator.
    pub actuator: String,
    /// The value before.
    pub from: f64,
    /// The value that the actuator then reported as in force. If it refused, the value that was
    /// requested.
    pub to: f64,
    /// The advice that was followed.
    pub advice: &'static str,
    /// Why.
    pub evidence: Vec<Evidence>,
    /// The symptom that the change should improve.
    pub symptom: Symptom,
    /// The outcome of the change.
    pub outcome: Outcome,
}

/// The outcome of a change.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "snake_case", tag = "state")]
#[non_exhaustive]
pub enum Outcome {
    /// It is in force and was not judged yet.
    OnTrial,
    /// It was judged and stays.
    Kept,
    /// The actuator refused it.
    Refused {
        /// The reason that the actuator gave.
        reason: String,
    },
    /// The previous value is in force again.
    Reverted {
        /// In which minute; `None` if an operator requested it.
        minute: Option<u64>,
        /// Why.
        reason: String,
    },
    /// Reverting it failed.
    Left {
        /// Why.
        reason: String,
    },
}

impl Outcome {
    /// Whether the change is in force as far as is known.
    pub fn is_in_force(&self) -> bool {
        matches!(self, Self::OnTrial | Self::Kept | Self::Left { .. })
    }
}

/// Why a change was not reverted.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum RevertError {
    /// There is no such change in the journal.
    #[error("there is no change {id} in the journal")]
    Unknown {
        /// The requested id.
        id: u64,
    },
    /// It is not in force: it was refused, or has been reverted.
    #[error("change {id} is not in force")]
    NotInForce {
        /// The requested id.
        id: u64,
    },
    /// Another value has been set since: by a later change, which must be reverted first, or by
    /// another party.
    #[error(
        "since change {id} the value was set to {now}, by a later change or by another party: it is not overwritten"
    )]
    Overtaken {
        /// The requested id.
        id: u64,
        /// The value in force.
        now: f64,
    },
    /// The actuator refused.
    #[error("change {id} was not taken back: {reason}")]
    Refused {
        /// The requested id.
        id: u64,
        /// The reason that the actuator gave.
        reason: Refused,
    },
}
