//! Refusals of the server, and the advice for each.

use std::fmt::{self, Write as _};

use reqwest::StatusCode;

/// A refusal of the server, of its `application/problem+json`.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) status: StatusCode,
    pub(crate) title: Option<String>,
    pub(crate) detail: String,
    pub(crate) request_id: Option<String>,
    pub(crate) asked: String,
    /// Whether a token was sent.
    pub(crate) with_token: bool,
    /// Seconds after which another try makes sense.
    pub(crate) retry_after: Option<u64>,
}

impl Refusal {
    /// The next step of the operator, if there is one to suggest.
    pub(super) fn hint(&self) -> Option<String> {
        let mut hint = match self.status {
            StatusCode::UNAUTHORIZED if self.with_token => {
                "the server does not know this token: check TIDEGATE_TOKEN or --token-file".to_owned()
            }
            StatusCode::UNAUTHORIZED => "set TIDEGATE_TOKEN, or name a file with --token-file".to_owned(),
            StatusCode::FORBIDDEN if self.with_token => "use the admin token".to_owned(),
            StatusCode::FORBIDDEN => "set TIDEGATE_TOKEN to the admin token".to_owned(),
            status if status.is_redirection() => {
                "redirects are not followed: set --url to the final address".to_owned()
            }
            _ => String::new(),
        };
        if let Some(seconds) = &self.retry_after {
            if !hint.is_empty() {
                hint.push_str("; ");
            }
            let _ = write!(hint, "try again in {seconds} s");
        }
        (!hint.is_empty()).then_some(hint)
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let title = self.title.as_deref().or(self.status.canonical_reason()).unwrap_or("refused");
        write!(f, "{title}: {} ({}: {}", self.detail, self.asked, self.status.as_u16())?;
        match &self.request_id {
            Some(id) => write!(f, ", request {id})"),
            None => f.write_str(")"),
        }
    }
}
