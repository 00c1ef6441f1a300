//! Posts to URLs that other people configured: operators for alerts, tenants for notifications.
//!
//! Such a URL could point into the internal network. So a private address is refused after the name
//! is resolved and before a connection is made. No redirect is followed, and only the head of an
//! answer is read.

mod address;
mod signature;

use std::sync::Arc;
use std::time::Duration;

use reqwest::dns::Resolve;
use reqwest::{Client, Url, header};
use tidegate_base::clock;
use tidegate_base::public_address::is_private_host;
use tidegate_perfmon::TraceContext;
use tidegate_settings::Hidden;

use crate::client::client;
use address::{PublicOnly, is_private_address};

/// The client for webhooks can't be created.
#[derive(Debug, thiserror::Error)]
#[error("webhooks: the client can't be created: {0}")]
pub struct WebhookError(String);

impl WebhookError {
    /// Makes the error for an invalid URL, which it does not contain.
    pub fn unreadable() -> Self {
        Self("the URL can't be read".to_owned())
    }
}

/// The cause of a failed attempt. It never contains the URL, which is often secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// The name resolves to a private address, which that setting forbids.
    #[error("the address is private, and {0} is off")]
    Private(&'static str),
    /// The receiver did not answer in time.
    #[error("no answer within {} s", .0.as_secs_f64())]
    TimedOut(Duration),
    /// No connection could be made.
    #[error("no connection")]
    NoConnection,
    /// The connection was lost during the exchange.
    #[error("the connection broke off")]
    BrokeOff,
}

/// The head of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answer {
    /// Its status.
    pub status: u16,
    /// Delay that the receiver requests. `None` if it gives none in seconds.
    pub retry_after: Option<Duration>,
}

/// A message to post.
#[derive(Debug)]
pub struct Message<'a> {
    /// Unique id of the event, the same in each attempt.
    pub event: &'a str,
    /// The trace context.
    pub trace: TraceContext,
    /// The body, as JSON.
    pub body: String,
}

/// Posts messages. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Sender {
    client: Client,
    patience: Duration,
    /// The setting that forbids private addresses. `None` if they are allowed.
    closed_by: Option<&'static str>,
}

impl Sender {
    /// Makes a sender with this timeout. It connects to private addresses only if `closed_by` is
    /// `None`.
    ///
    /// # Errors
    ///
    /// [`WebhookError`] if no client can be created.
    pub fn new(patience: Duration, closed_by: Option<&'static str>) -> Result<Self, WebhookError> {
        let no_client = |error: &dyn std::error::Error| WebhookError(error.to_string());
        let builder = client().map_err(|error| no_client(&error))?.timeout(patience);
        // Connections are not reused: each delivery resolves the name again, and deliveries are
        // few.
        let builder = builder.pool_max_idle_per_host(0);
        let builder = if closed_by.is_some() { builder.dns_resolver(Arc::new(PublicOnly)) } else { builder };
        let client = builder.build().map_err(|error| no_client(&error.without_url()))?;
        Ok(Self { client, patience, closed_by })
    }

    /// Posts a message once, signed if there is a key.
    ///
    /// # Errors
    ///
    /// [`Failure`] with the cause.
    pub async fn post(&self, url: &Url, key: Option<&Hidden>, message: Message<'_>) -> Result<Answer, Failure> {
        if let Some(setting) = self.closed_by.filter(|_| names_private_address(url)) {
            return Err(Failure::Private(setting));
        }
        let timestamp = clock::now().timestamp().to_string();
        let mut request = self
            .client
            .post(url.clone())
            .header(header::CONTENT_TYPE, "application/json")
            .header("x-tidegate-event", message.event)
            .header("x-tidegate-timestamp", &timestamp)
            .header("traceparent", message.trace.to_string());
        if let Some(key) = key {
            request = request.header("x-tidegate-signature", signature::of(key.reveal(), &timestamp, &message.body));
        }
        // The body of the answer is not used, and may be endless.
        let answer = request.body(message.body).send().await.map_err(|error| self.failure(&error))?;
        let retry_after = answer.headers().get(header::RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
        Ok(Answer { status: answer.status().as_u16(), retry_after: retry_after.map(Duration::from_secs) })
    }

    /// Resolves the name of a URL, and returns the setting that refuses it. `None` if it is not
    /// refused, or can't be resolved in time.
    pub async fn refusal_of(&self, url: &Url) -> Option<&'static str> {
        let setting = self.closed_by?;
        let name = url.host_str()?.parse().ok()?;
        let resolved = tokio::time::timeout(self.patience, PublicOnly.resolve(name)).await.ok()?;
        let error = resolved.err()?;
        is_private_address(&*error).then_some(setting)
    }

    fn failure(&self, error: &reqwest::Error) -> Failure {
        match self.closed_by {
            Some(setting) if is_private_address(error) => Failure::Private(setting),
            _ if error.is_timeout() => Failure::TimedOut(self.patience),
            _ if error.is_connect() => Failure::NoConnection,
            _ => Failure::BrokeOff,
        }
    }
}

/// Whether the URL itself contains a private address, which would be connected to without name
/// resolution.
pub fn names_private_address(url: &Url) -> bool {
    is_private_host(url.host_str().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_name_that_leads_to_this_machine_is_refused_unless_a_setting_allows_it() {
        let refusal = async |host: &str, closed_by| {
            let url: Url = format!("http://{host}/hook").parse().unwrap();
            Sender::new(Duration::from_secs(5), closed_by).unwrap().refusal_of(&url).await
        };
        assert_eq!(refusal("localhost", Some("the.setting")).await, Some("the.setting"));
        assert_eq!(refusal("localhost", None).await, None);
        assert_eq!(refusal("1.1.1.1", Some("the.setting")).await, None);
    }
}
