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

/// Why a stored payload can't be decoded as the handler's job type.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DecodeError {
    /// A newer version wrote it; another worker may know it.
    #[error("payload version {found} is newer than {supported}")]
    TooNew {
        /// Version of the stored payload.
        found: u32,
        /// Version of the type.
        supported: u32,
    },
    /// An older payload that the type can't convert.
    #[error(transparent)]
    Upcast(#[from] UpcastError),
    /// The payload does not fit the type.
    #[error("payload does not fit the job type: {}", without_values(.0))]
    Shape(#[from] serde_json::Error),
}

/// Describes the error without values of the payload: errors are logged, payloads are not.
fn without_values(error: &serde_json::Error) -> String {
    let text = error.to_string();
    if !error.is_data() || text.starts_with("missing field") {
        return text;
    }
    let place = || format!("line {}, column {}", error.line(), error.column());
    text.rfind(", expected ").map_or_else(place, |at| text[at + 2..].to_owned())
}

pub(crate) fn decode<J: Job>(version: u32, payload: &str) -> Result<J, DecodeError> {
    match version.cmp(&J::VERSION) {
        std::cmp::Ordering::Greater => Err(DecodeError::TooNew { found: version, supported: J::VERSION }),
        std::cmp::Ordering::Equal => Ok(serde_json::from_str(payload)?),
        std::cmp::Ordering::Less => {
            let payload = J::upcast(version, serde_json::from_str(payload)?)?;
            Ok(serde_json::from_value(payload)?)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Serialize, serde::Deserialize, Debug, PartialEq)]
    struct Mail {
        to: Vec<String>,
    }

    impl Job for Mail {
        const KIND: &'static str = "mail";
        const QUEUE: &'static str = "email";
        const VERSION: u32 = 2;

        fn upcast(version: u32, mut payload: Value) -> Result<Value, UpcastError> {
            let to = payload.get_mut("to").map(Value::take).ok_or(UpcastError::Field { from: version, field: "to" })?;
            Ok(serde_json::json!({ "to": [to] }))
        }
    }

    #[test]
    fn an_error_does_not_contain_the_payload() {
        for payload in [r#"{"to":"secret"}"#, r#"{"to":[1,"secret, expected x"]}"#, r#"["secret"]"#] {
            let error = decode::<Mail>(2, payload).unwrap_err().to_string();
            assert!(error.contains("expected") && !error.contains("secret"), "{error}");
        }
        assert!(decode::<Mail>(2, "{}").unwrap_err().to_string().contains("missing field `to`"));
    }

    #[test]
    fn old_payloads_are_upcast_and_new_ones_left_to_others() {
        let mail = Mail { to: vec!["a".into()] };
        assert_eq!(decode::<Mail>(1, r#"{"to":"a"}"#).unwrap(), mail);
        assert_eq!(decode::<Mail>(2, r#"{"to":["a"]}"#).unwrap(), mail);
        assert!(matches!(decode::<Mail>(3, "{}"), Err(DecodeError::TooNew { found: 3, .. })));
        assert!(matches!(decode::<Mail>(1, "{}"), Err(DecodeError::Upcast(_))));
        assert!(matches!(decode::<Mail>(2, "[]"), Err(DecodeError::Shape(_))));
    }
}
