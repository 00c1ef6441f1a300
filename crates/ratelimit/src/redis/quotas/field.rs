//! What the hash of quotas holds of one limiter.

use std::fmt;

use crate::{QuotaError, Quotas, QuotasError};

/// A text and when it was published. Of two the later one counts, on whichever server it was.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Field {
    /// The server's time in µs; zero for what another program wrote without one.
    pub(super) date: u64,
    /// Quotas; empty where they were withdrawn, so that a withdrawal isn't taken for a loss.
    pub(super) text: String,
}

impl Field {
    pub(super) fn parse(field: &str) -> Self {
        let dated = field.split_once(' ').and_then(|(date, text)| {
            let is_date = !date.is_empty() && date.bytes().all(|byte| byte.is_ascii_digit());
            // Later dates are none: no time is, and a script would round them.
            let date = date.parse().ok().filter(|date| is_date && *date < 1 << 53)?;
            Some(Self { date, text: text.to_owned() })
        });
        dated.unwrap_or_else(|| Self { date: 0, text: field.to_owned() })
    }

    /// The quotas, if any are published.
    pub(super) fn quotas(&self) -> Result<Option<Quotas>, QuotaError> {
        if self.text.is_empty() {
            return Ok(None);
        }
        self.text.parse().map(Some).map_err(one_error)
    }
}

/// What the script that publishes reads.
impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.date, self.text)
    }
}

/// What is wrong with one of them, or with the text.
pub(super) fn one_error(error: QuotasError) -> QuotaError {
    match error {
        QuotasError::Quota { source, .. } => source,
        _ => QuotaError::Syntax,
    }
}
