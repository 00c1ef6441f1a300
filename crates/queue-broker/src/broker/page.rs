//! Paging through a list by the position of the last item of a page.

use std::fmt;
use std::str::FromStr;

use serde::Serialize;

use crate::record::JobRecord;

/// Position of the end of a page. Opaque text to users of an API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cursor {
    pub(crate) rank: i64,
    pub(crate) at: i64,
    pub(crate) seq: i64,
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.rank, self.at, self.seq)
    }
}

impl Serialize for Cursor {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// The text is not a cursor that a page returned.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a cursor")]
pub struct CursorError;

impl FromStr for Cursor {
    type Err = CursorError;

    fn from_str(text: &str) -> Result<Self, CursorError> {
        let mut parts = text.split('.').map(str::parse::<i64>);
        match (parts.next(), parts.next(), parts.next(), parts.next()) {
            (Some(Ok(rank)), Some(Ok(at)), Some(Ok(seq)), None) => Ok(Self { rank, at, seq }),
            _ => Err(CursorError),
        }
    }
}

/// A page of jobs.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Page {
    /// The jobs.
    pub items: Vec<JobRecord>,
    /// Continues after the last item. `None` at the end.
    #[serde(rename = "next_cursor")]
    pub next: Option<Cursor>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cursors_survive_text_and_refuse_noise() {
        let cursor = Cursor { rank: 2, at: -5, seq: i64::MAX };
        assert_eq!(cursor.to_string().parse(), Ok(cursor));
        for bad in ["", "1.2", "1.2.3.4", "a.b.c", "1.2.99999999999999999999"] {
            assert_eq!(bad.parse::<Cursor>(), Err(CursorError), "{bad}");
        }
    }
}
