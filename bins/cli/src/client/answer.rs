//! What the server said.

use reqwest::header::{CONTENT_TYPE, HeaderMap, RETRY_AFTER};
use reqwest::{Response, StatusCode};
use serde_json::{Value, json};

use crate::failure::{Failure, Refusal};
use crate::output::plain;

/// Maximum number of bytes of an answer.
const LONGEST: usize = 64 << 20;
/// Maximum number of characters of a foreign answer that a message quotes.
const QUOTED: usize = 120;

/// An answer, whatever its status.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    /// The body as it came.
    pub(crate) text: String,
    headers: HeaderMap,
    asked: String,
}

/// Why an answer could not be read.
pub(super) enum Unread {
    /// The connection broke.
    Lost(reqwest::Error),
    Unusable(Failure),
}

impl Unread {
    pub(super) fn failure(self, lost: impl FnOnce(&reqwest::Error) -> Failure) -> Failure {
        match self {
            Self::Lost(error) => lost(&error),
            Self::Unusable(failure) => failure,
        }
    }
}

impl Answer {
    pub(super) async fn read(mut response: Response, asked: String) -> Result<Self, Unread> {
        let (status, headers) = (response.status(), response.headers().clone());
        let foreign = |reason: &str| {
            Unread::Unusable(Failure::Foreign { asked: asked.clone(), status, reason: reason.to_owned() })
        };
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(Unread::Lost)? {
            if body.len() + chunk.len() > LONGEST {
                return Err(foreign(&format!("more than {LONGEST} bytes")));
            }
            body.extend_from_slice(&chunk);
        }
        let text = String::from_utf8(body).map_err(|_| foreign("not UTF-8"))?;
        Ok(Self { status, text, headers, asked })
    }

    /// The JSON of the body. Of an answer that has none by right, its status.
    pub(crate) fn json(&self) -> Result<Value, Failure> {
        let may_be_empty = matches!(self.status, StatusCode::ACCEPTED | StatusCode::NO_CONTENT);
        if self.text.is_empty() && may_be_empty {
            return Ok(json!({"status": self.status.as_u16()}));
        }
        serde_json::from_str(&self.text).map_err(|_| match quoted(&self.text) {
            quote if quote.is_empty() => self.foreign("it is empty"),
            quote => self.foreign(&format!("it begins `{quote}`")),
        })
    }

    /// The body, if it is of one of these types.
    pub(crate) fn text_of(&self, types: &[&str]) -> Result<&str, Failure> {
        let found = self.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        if types.iter().any(|wanted| found.starts_with(wanted)) {
            return Ok(&self.text);
        }
        Err(self.foreign(&format!("it is not {}", types.join(" or "))))
    }

    /// The failure of a success that no Tidegate sends.
    pub(crate) fn foreign(&self, reason: &str) -> Failure {
        Failure::Foreign { asked: self.asked.clone(), status: self.status, reason: reason.to_owned() }
    }

    /// The failure of an answer that is no success.
    pub(super) fn refused(self, with_token: bool) -> Failure {
        let problem: Value = serde_json::from_str(&self.text).unwrap_or_default();
        let text = |name: &str| problem.get(name).and_then(Value::as_str).map(plain);
        let detail = text("detail").unwrap_or_else(|| match quoted(&self.text) {
            quote if quote.is_empty() => "no reason was given".to_owned(),
            quote => format!("the answer is not Tidegate's; it begins `{quote}`"),
        });
        let retry_after = self.headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok());
        Failure::Refused(Box::new(Refusal {
            status: self.status,
            title: text("title"),
            detail,
            request_id: text("request_id"),
            asked: self.asked,
            with_token,
            retry_after: retry_after.and_then(|text| text.parse().ok()),
        }))
    }
}

/// The beginning of a text, on one line.
fn quoted(text: &str) -> String {
    plain(text.trim().chars().take(QUOTED).collect::<String>().as_str())
}
