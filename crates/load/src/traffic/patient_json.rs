//! Reads that outlast a fault.

use std::time::Duration;

use anyhow::Context;
use reqwest::{RequestBuilder, StatusCode};
use tokio::time::Instant;

/// Returns the JSON of a GET. `None` if the answer is 404. If the answer is 429 or 503 or missing,
/// the request is repeated for two minutes.
pub(super) async fn patient_json(
    path: &str,
    request: impl Fn() -> RequestBuilder,
) -> anyhow::Result<Option<serde_json::Value>> {
    const PATIENCE: Duration = Duration::from_secs(120);
    let end = Instant::now() + PATIENCE;
    loop {
        let last = match request().timeout(Duration::from_secs(30)).send().await {
            Ok(answer) if answer.status().is_success() => {
                return answer.json().await.map(Some).with_context(|| format!("the answer to GET {path} is no JSON"));
            }
            Ok(answer) if answer.status() == StatusCode::NOT_FOUND => return Ok(None),
            Ok(answer)
                if ![StatusCode::TOO_MANY_REQUESTS, StatusCode::SERVICE_UNAVAILABLE].contains(&answer.status()) =>
            {
                anyhow::bail!("GET {path} is answered {}: {}", answer.status(), answer.text().await?)
            }
            Ok(answer) => answer.status().to_string(),
            Err(error) => error.to_string(),
        };
        anyhow::ensure!(Instant::now() < end, "GET {path} was tried for {PATIENCE:?}; the last answer: {last}");
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}
