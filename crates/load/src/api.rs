//! Requests to the processes of one example.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, RwLock};
use std::time::Duration;

use anyhow::{Context, bail};
use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::Value;
use tidegate_testkit::Process;
use tokio::time::{Instant, sleep};

/// Longest time for one attempt, if there are processes to try it again with.
const ATTEMPT: Duration = Duration::from_secs(5);
/// Longest time for an answer of a process alone.
const ALONE: Duration = Duration::from_secs(30);
const START: Duration = Duration::from_secs(30);
/// Longest time for all attempts of one request, while processes are killed.
const PATIENCE: Duration = Duration::from_secs(60);
const RETRY_AFTER: Duration = Duration::from_millis(20);

/// A client of all processes of an example, round robin. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Api {
    client: reqwest::Client,
    addresses: Arc<RwLock<Vec<String>>>,
    next: Arc<AtomicUsize>,
    /// Whether a request without an answer is sent again.
    retries: Arc<AtomicBool>,
    upstream: Option<Box<Self>>,
}

/// Answer of a process.
#[derive(Debug)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// The body; `null` if it is no JSON.
    pub body: Value,
}

impl Api {
    pub(crate) fn new(addresses: Vec<String>) -> anyhow::Result<Self> {
        Self::with_timeout(addresses, ATTEMPT)
    }

    /// A client of one process of an example, which waits up to 30 s for an answer.
    ///
    /// # Errors
    ///
    /// The process does not listen.
    pub async fn of(process: &mut Process) -> anyhow::Result<Self> {
        Self::with_timeout(vec![address(process).await?], ALONE)
    }

    fn with_timeout(addresses: Vec<String>, timeout: Duration) -> anyhow::Result<Self> {
        let client = tidegate_testkit::http_client().timeout(timeout).no_proxy().build()?;
        let addresses = Arc::new(RwLock::new(addresses));
        Ok(Self { client, addresses, next: Arc::default(), retries: Arc::default(), upstream: None })
    }

    pub(crate) fn with_upstream(mut self, address: String) -> anyhow::Result<Self> {
        self.upstream = Some(Box::new(Self::new(vec![address])?));
        Ok(self)
    }

    /// A client of the process that stands for another service
    /// ([`Scenario::upstream`](crate::Scenario::upstream)), if there is one, else of these.
    pub fn upstream(&self) -> &Self {
        self.upstream.as_deref().unwrap_or(self)
    }

    /// From now on, a request without an answer, or answered 503, is sent to the next process, with
    /// the same key, until one answers.
    pub fn retry(&self, retries: bool) {
        self.retries.store(retries, Ordering::Relaxed);
    }

    /// Whether requests are sent again, since processes are killed.
    pub(crate) fn retries(&self) -> bool {
        self.retries.load(Ordering::Relaxed)
    }

    /// Gives process `number` a new address, after its restart.
    pub(crate) fn moved(&self, number: usize, address: String) {
        let mut addresses = self.addresses.write().unwrap_or_else(std::sync::PoisonError::into_inner);
        addresses[number] = address;
    }

    /// The address of the process whose turn it is.
    fn next_address(&self) -> String {
        let addresses = self.addresses.read().unwrap_or_else(std::sync::PoisonError::into_inner);
        addresses[self.next.fetch_add(1, Ordering::Relaxed) % addresses.len()].clone()
    }

    /// Sends GET.
    ///
    /// # Errors
    ///
    /// No process answers.
    pub async fn get(&self, path: &str) -> anyhow::Result<Answer> {
        self.send(Method::GET, path, None, None).await
    }

    /// Sends POST with a body, and an `Idempotency-Key` if there is one.
    ///
    /// # Errors
    ///
    /// No process answers.
    pub async fn post(&self, path: &str, key: Option<&str>, body: &Value) -> anyhow::Result<Answer> {
        self.send(Method::POST, path, key, Some(body)).await
    }

    /// Sends a request; see [`retry`](Self::retry).
    ///
    /// # Errors
    ///
    /// No process answers.
    pub async fn send(
        &self,
        method: Method,
        path: &str,
        key: Option<&str>,
        body: Option<&Value>,
    ) -> anyhow::Result<Answer> {
        let started = Instant::now();
        loop {
            let attempt = self.attempt(method.clone(), path, key, body).await;
            let is_settled = attempt.as_ref().is_ok_and(|answer| answer.status != StatusCode::SERVICE_UNAVAILABLE);
            if is_settled || !self.retries() {
                return attempt.with_context(|| format!("{method} {path}"));
            }
            if started.elapsed() > PATIENCE {
                bail!("{method} {path} was tried for {PATIENCE:?}; the last answer: {attempt:?}");
            }
            sleep(RETRY_AFTER).await;
        }
    }

    async fn attempt(
        &self,
        method: Method,
        path: &str,
        key: Option<&str>,
        body: Option<&Value>,
    ) -> anyhow::Result<Answer> {
        let mut request = self.client.request(method, format!("{}{path}", self.next_address()));
        if let Some(key) = key {
            request = request.header("idempotency-key", key);
        }
        if let Some(body) = body {
            request = request.json(body);
        }
        Ok(Answer::to(request).await?)
    }
}

impl Answer {
    /// Sends a request, and returns its answer.
    pub(crate) async fn to(request: RequestBuilder) -> reqwest::Result<Self> {
        let response = request.send().await?;
        let status = response.status();
        let body = response.bytes().await?;
        Ok(Self { status, body: serde_json::from_slice(&body).unwrap_or_default() })
    }

    /// The answer, if it has this status.
    ///
    /// # Errors
    ///
    /// Another status.
    pub fn expect(self, status: u16) -> anyhow::Result<Self> {
        if self.status.as_u16() != status {
            bail!("{} where {status} was expected: {}", self.status, self.body);
        }
        Ok(self)
    }

    /// Returns a number of the body.
    ///
    /// # Errors
    ///
    /// There is no number of that name.
    pub fn number(&self, field: &str) -> anyhow::Result<i64> {
        self.body[field].as_i64().with_context(|| format!("no number `{field}` in {}", self.body))
    }
}

/// Returns the address that a process of an example prints when it listens.
pub(crate) async fn address(process: &mut Process) -> anyhow::Result<String> {
    const LISTENS: &str = "listening on ";
    let line = process.wait_for_line(LISTENS, START).await?;
    let (_, address) = line.split_once(LISTENS).context("the example printed no address")?;
    Ok(address.trim().to_owned())
}
