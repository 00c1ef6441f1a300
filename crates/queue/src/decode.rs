//! Decodes a stored payload as the type of its job.

use tidegate_queue_broker::{Job, UpcastError};

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
    use serde::Serialize;
    use serde_json::Value;

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
