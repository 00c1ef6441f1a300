//! Helpers of several scenarios.

use std::fmt::Display;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::Duration;

use serde_json::Value;
use tokio::time::{Instant, sleep};

use crate::{Answer, Api};

/// Returns a name that no other run has, for data on the servers.
pub(super) fn unique() -> String {
    format!("{:x}", RandomState::new().build_hasher().finish())
}

/// The answer to a GET once it is settled, or the last one after `patience`.
pub(super) async fn settled(
    api: &Api,
    path: &str,
    patience: Duration,
    is_settled: impl Fn(&Value) -> bool,
) -> anyhow::Result<Answer> {
    let deadline = Instant::now() + patience;
    loop {
        let answer = api.get(path).await?.expect(200)?;
        if is_settled(&answer.body) || Instant::now() >= deadline {
            return Ok(answer);
        }
        sleep(Duration::from_millis(10)).await;
    }
}

/// The number of faults and the first of them: `0 differ`, or `2 differ, such as …`.
pub(super) fn counted<T: Display>(faults: &[T], verb: &str) -> String {
    match faults.first() {
        Some(first) => format!("{} {verb}, such as {first}", faults.len()),
        None => format!("0 {verb}"),
    }
}
