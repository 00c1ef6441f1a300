//! The trait of jobs: kind, queue, version, and conversion of older payloads.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// A payload of an older version could not be converted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UpcastError {
    /// The type has no conversion from this version.
    #[error("no way from version {from} to {to}")]
    Unsupported {
        /// Version of the stored payload.
        from: u32,
        /// Version of the type.
        to: u32,
    },
    /// The old payload lacks a field that the new version needs.
    #[error("field {field:?} of version {from} is missing or has another type")]
    Field {
        /// Version of the stored payload.
        from: u32,
        /// The field at fault.
        field: &'static str,
    },
}

/// A unit of work, as data. Serialized to JSON when enqueued.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a job",
    label = "doesn't implement `Job`",
    note = "the first argument of a handler function is its job"
)]
pub trait Job: Serialize + DeserializeOwned + Send + Sync + 'static {
    /// Name of the kind in stored records. Never change it. See [`check_kind`](crate::check_kind).
    const KIND: &'static str;
    /// The queue of its jobs. See [`check_queue_name`](crate::check_queue_name).
    const QUEUE: &'static str;
    /// Version of the payload's shape. Raise it with each incompatible change.
    const VERSION: u32 = 1;

    /// Converts a payload of an older `version` to [`VERSION`](Self::VERSION).
    ///
    /// # Errors
    /// [`UpcastError`] if there is no conversion; the job is then buried. The default converts
    /// nothing.
    fn upcast(version: u32, payload: Value) -> Result<Value, UpcastError> {
        drop(payload);
        Err(UpcastError::Unsupported { from: version, to: Self::VERSION })
    }
}
