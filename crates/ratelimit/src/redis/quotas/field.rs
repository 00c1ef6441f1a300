//! One limiter's field in the hash of quotas.

use std::fmt;

use crate::{QuotaError, Quotas, QuotasError};

/// A text and the time of its publication. Of two fields the later one wins.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Field {
    /// The server's time in µs. Zero if another program wrote the field without a time.
    pub(super) date: u64,
    /// The quotas. Empty if they were withdrawn, so that a withdrawal is not mistaken for a loss.
    pub(super) text: String,
}

impl Field {
    pub(super) fn parse(field: &str) -> Self {
        let dated = field.split_once(' ').and_then(|(date, text)| {
            let is_date = !date.is_empty() && date.bytes().all(|byte| byte.is_ascii_digit());
            // Later values are not dates, and a script would round them.
            let date = date.parse().ok().filter(|date| is_date && *date < 1 << 53)?;
            Some(Self { date, text: text.to_owned() })
        });
        dated.unwrap_or_else(|| Self { date: 0, text: field.to_owned() })
    }

    /// The published quotas. `None` if they were withdrawn.
    pub(super) fn quotas(&self) -> Result<Option<Quotas>, QuotaError> {
        if self.text.is_empty() {
            return Ok(None);
        }
        self.text.parse().map(Some).map_err(one_error)
    }
}

/// The format that the publishing script reads.
impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.date, self.text)
    }
}

/// Converts the error of one quota, or of the text.
pub(super) fn one_error(error: QuotasError) -> QuotaError {
    match error {
        QuotasError::Quota { source, .. } => source,
        _ => QuotaError::Syntax,
    }
}
