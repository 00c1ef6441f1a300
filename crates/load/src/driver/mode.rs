//! How the requests of a run follow one another.

use serde::Serialize;

/// How requests follow one another.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// This number of requests per second, on a schedule.
    Open {
        /// Requests a second.
        rate: f64,
    },
    /// This number of users. Each sends the next request when the last one is answered.
    Closed {
        /// Concurrent users.
        users: u64,
    },
    /// This number of users, all at the same moment, one request each.
    AtOnce {
        /// Users.
        users: u64,
    },
}
