//! The query of the page of a queue, and the addresses that have one.

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use tidegate_queue::JobState;

use crate::pages::queues::path;

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::pages) struct QueueQuery {
    pub(super) state: Option<String>,
    pub(super) cursor: Option<String>,
    /// Search text: a job's id, or a part of an id or kind.
    pub(super) q: Option<String>,
    pub(super) said: Option<String>,
    pub(super) done: Option<u64>,
    pub(super) left: Option<u64>,
}

/// The address that shows the same again.
pub(super) fn address(queue: &str, state: JobState, cursor: Option<&str>, sought: Option<&str>) -> String {
    let encoded = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
    let mut address = format!("{}?state={state}", path(queue));
    if let Some(cursor) = cursor {
        address += &format!("&cursor={}", encoded(cursor));
    }
    if let Some(sought) = sought {
        address += &format!("&q={}", encoded(sought));
    }
    address
}
