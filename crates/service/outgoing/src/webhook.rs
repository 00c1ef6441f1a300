//! Posts to URLs that others have named: operators for alerts, tenants for what they are told.
//!
//! Whoever names a URL could name one of this network, so a private address is refused after the name is resolved and before anything is
//! connected to; no redirect is followed; and of the answer only the head is read.

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

/// Why nothing can be posted at all.
#[derive(Debug, thiserror::Error)]
#[error("webhooks: no client can be made: {0}")]
pub struct WebhookError(String);

impl WebhookError {
    /// The URL is none. It isn't repeated.
    pub fn unreadable() -> Self {
        Self("the URL can't be read".to_owned())
    }
}

/// Why a try failed. Never with the URL, which often is a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// Its name leads to a private address, which that setting closes.
    #[error("the address is private, and {0} is off")]
    Private(&'static str),
    /// The receiver took too long.
    #[error("no answer within {} s", .0.as_secs_f64())]
    TimedOut(Duration),
    /// There was no connection.
    #[error("no connection")]
    NoConnection,
    /// The connection was lost on the way.
    #[error("the exchange broke off")]
    BrokeOff,
}

/// The head of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answer {
    /// Its status.
    pub status: u16,
    /// When to come back, where it says so in seconds.
    pub retry_after: Option<Duration>,
}

/// What is posted.
#[derive(Debug)]
pub struct Message<'a> {
    /// Tells it from any other, and is the same however often it is posted.
    pub event: &'a str,
    /// The trace that it belongs to.
    pub trace: TraceContext,
    /// JSON.
    pub body: String,
}

/// Who posts. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Sender {
    client: Client,
    patience: Duration,
    /// The setting that keeps it from private addresses, where it is to keep from them.
    closed_by: Option<&'static str>,
}

impl Sender {
    /// One that waits so long for each answer, and goes to private addresses only where no setting closes them.
    ///
    /// # Errors
    ///
    /// When no client can be made.
    pub fn new(patience: Duration, closed_by: Option<&'static str>) -> Result<Self, WebhookError> {
        let no_client = |error: &dyn std::error::Error| WebhookError(error.to_string());
        let builder = client().map_err(|error| no_client(&error))?.timeout(patience);
        // No connection is kept: each delivery resolves the name anew, and there are few.
        let builder = builder.pool_max_idle_per_host(0);
        let builder = if closed_by.is_some() { builder.dns_resolver(Arc::new(PublicOnly)) } else { builder };
        let client = builder.build().map_err(|error| no_client(&error.without_url()))?;
        Ok(Self { client, patience, closed_by })
    }

    /// Posts once, signed where there is a key.
    ///
    /// # Errors
    ///
    /// [`Failure`] says why it was not posted.
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
        // The body of the answer is nothing to us, and may be endless.
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

/// Whether the URL itself names a private address, which is connected to without being resolved.
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
