//! `Idempotency-Key`: a request that is sent again enqueues nothing again.
//!
//! No record of requests is kept. The key, with the queue, makes the id of the job, and an id that the queue knows is
//! left as it is: so a repetition is harmless for as long as the job's record is kept, and whether it says the same is
//! seen by the job.

use std::fmt::Write;

use axum::extract::FromRequestParts;
use axum::http::HeaderMap;
use axum::http::request::Parts;
use sha2::{Digest, Sha256};
use tidegate_queue::JobId;

use crate::problem::Problem;

const HEADER: &str = "idempotency-key";
const LONGEST: usize = 255;

/// The request's `Idempotency-Key`, if it has one.
#[derive(Debug)]
pub(super) struct IdempotencyKey(Option<String>);

impl<S: Sync> FromRequestParts<S> for IdempotencyKey {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        read(&parts.headers).map(Self)
    }
}

impl IdempotencyKey {
    /// What stands for the key in that queue.
    pub(super) fn of_queue(&self, queue: &str) -> Option<Stem> {
        self.0.as_ref().map(|key| {
            let mut hash = Sha256::new();
            hash.update("job\0");
            hash.update(queue);
            hash.update("\0");
            hash.update(key);
            Stem(hash.finalize().iter().take(16).fold(String::new(), |mut text, byte| {
                // Writing to a text does not fail.
                let _ = write!(text, "{byte:02x}");
                text
            }))
        })
    }
}

/// What ids are made of.
#[derive(Debug)]
pub(super) struct Stem(String);

impl Stem {
    /// The id of the only job.
    pub(super) fn id(&self) -> Result<JobId, Problem> {
        self.named("")
    }

    /// The id of one of several jobs.
    pub(super) fn id_of(&self, index: usize) -> Result<JobId, Problem> {
        self.named(&format!(".{index}"))
    }

    /// Eight hexadecimal digits.
    pub(super) fn route(&self) -> &str {
        self.0.get(..8).unwrap_or_default()
    }

    fn named(&self, rest: &str) -> Result<JobId, Problem> {
        JobId::new(format!("ik-{}{rest}", self.0)).map_err(|error| Problem::internal(&error))
    }
}

/// The key was used for something else.
pub(super) fn reused() -> Problem {
    Problem::unprocessable(
        "idempotency-key-reused",
        "the `Idempotency-Key` was used before, with another body; nothing was enqueued",
    )
}

/// In quotes, as the draft of the IETF has it, or bare, as most clients send it.
fn read(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let mut values = headers.get_all(HEADER).iter();
    let Some(value) = values.next() else { return Ok(None) };
    let text = value.to_str().ok().filter(|_| values.next().is_none());
    let key = text.map(|text| text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(text));
    let key = key.filter(|key| (1..=LONGEST).contains(&key.len()) && !key.contains(['"', '\\']));
    match key {
        Some(key) => Ok(Some(key.to_owned())),
        None => Err(Problem::bad_request(
            "bad-idempotency-key",
            format!("`Idempotency-Key` is given once, with 1 to {LONGEST} visible ASCII characters, quoted or not"),
        )),
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn key(value: &str) -> Result<Option<String>, Problem> {
        let mut headers = HeaderMap::new();
        headers.insert(HEADER, HeaderValue::try_from(value).unwrap());
        read(&headers)
    }

    #[test]
    fn quoted_and_bare_are_one_key() {
        assert_eq!(key("\"a b\"").unwrap().as_deref(), Some("a b"));
        assert_eq!(key("a b").unwrap().as_deref(), Some("a b"));
        assert_eq!(read(&HeaderMap::new()).unwrap(), None);
        for bad in ["", "\"\"", "\"", "a\"b", "a\\b", &"x".repeat(256)] {
            assert!(key(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn queues_share_no_keys() {
        let key = IdempotencyKey(Some("k".to_owned()));
        let (one, other) = (key.of_queue("a").unwrap(), key.of_queue("b").unwrap());
        assert_ne!(one.id().unwrap(), other.id().unwrap());
        assert_ne!(one.id_of(1).unwrap(), one.id_of(2).unwrap());
    }
}
