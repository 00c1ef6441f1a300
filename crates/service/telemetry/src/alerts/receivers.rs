//! The receivers of alerts. Each has a separate queue of notices and a separate task.

mod email;
mod failure;
mod pagerduty;
mod receiver;
mod slack;
mod webhook;

use std::sync::Arc;
use std::time::Duration;

use reqwest::Url;
use tidegate_outgoing::email::Mailer;
use tidegate_outgoing::webhook::{Sender, WebhookError};
use tidegate_perfmon::Registry;
use tidegate_settings::{AlertSettings, Settings};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::notice::Notice;
use email::Email;
use failure::Failure;
use pagerduty::PagerDuty;
pub(super) use receiver::Receiver;
use slack::Slack;
use webhook::Webhook;

/// Timeout of one attempt, from the name resolution to the headers of the answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// The part of a message that is the same for every alert.
#[derive(Debug, Clone)]
pub(super) struct Context {
    /// Id of the installation.
    installation: Arc<str>,
    /// URL of the dashboard.
    dashboard: Option<Arc<str>>,
}

/// The channel of a receiver.
#[derive(Debug)]
enum Channel {
    Webhook(Webhook),
    Slack(Slack),
    PagerDuty(PagerDuty),
    Email(Email),
}

impl Channel {
    /// Its name in metrics and the log.
    const fn way(&self) -> &'static str {
        match self {
            Self::Webhook(_) => "webhook",
            Self::Slack(_) => "slack",
            Self::PagerDuty(_) => "pagerduty",
            Self::Email(_) => "email",
        }
    }

    /// Returns the setting that has its URL, the URL, and its sender. `None` for mail.
    fn posts_to(&self) -> Option<(&'static str, Url, Sender)> {
        match self {
            Self::Webhook(Webhook { url, sender, .. }) => Some(("alerts.webhook", url.clone(), sender.clone())),
            Self::Slack(Slack { url, sender }) => Some(("alerts.slack_url", url.clone(), sender.clone())),
            Self::PagerDuty(PagerDuty { url, sender, .. }) => {
                Some(("alerts.pagerduty_url", url.clone(), sender.clone()))
            }
            Self::Email(_) => None,
        }
    }

    async fn send(&self, notice: &Notice, context: &Context) -> Result<(), Failure> {
        match self {
            Self::Webhook(webhook) => webhook.send(notice).await,
            Self::Slack(slack) => slack.send(notice, context).await,
            Self::PagerDuty(pagerduty) => pagerduty.send(notice, context).await,
            Self::Email(email) => email.send(notice, context).await,
        }
    }
}

/// Starts the configured receivers. Each delivers until `shutdown`, and wakes `progress` after each
/// notice.
pub(super) fn start(
    settings: &Settings,
    installation: &str,
    registry: &Registry,
    progress: &Arc<Notify>,
    shutdown: &CancellationToken,
) -> Result<Vec<Arc<Receiver>>, WebhookError> {
    let alerts = &settings.performance.alerts;
    let context = Context { installation: installation.into(), dashboard: alerts.dashboard.as_deref().map(Arc::from) };
    let channels = channels(alerts, || Mailer::new(settings, installation))?;
    if !alerts.email.is_empty() && settings.email.server.is_none() {
        tracing::warn!("alerts.email is set and email.url is not: mails about alerts become files in data_dir/outbox");
    }
    tokio::spawn(warn_of_refused(channels.iter().filter_map(Channel::posts_to).collect()));
    let receivers = channels.into_iter().map(|channel| {
        let receiver = Arc::new(Receiver::new(channel, context.clone(), registry, Arc::clone(progress)));
        tokio::spawn(Arc::clone(&receiver).run(shutdown.clone()));
        receiver
    });
    Ok(receivers.collect())
}

/// Warns of receivers whose name resolves to a private address, before the first alert is sent. The
/// settings reject URLs with such an address.
async fn warn_of_refused(receivers: Vec<(&'static str, Url, Sender)>) {
    for (setting, url, sender) in receivers {
        if let Some(closed_by) = sender.refusal_of(&url).await {
            tracing::warn!(
                "{setting}: its name leads to a private address, so no alert reaches it: set {closed_by} to on, or \
                 name a receiver on the internet"
            );
        }
    }
}

fn channels(settings: &AlertSettings, mailer: impl FnOnce() -> Mailer) -> Result<Vec<Channel>, WebhookError> {
    let closed_by = (!settings.private_addresses).then_some("alerts.private_addresses");
    let sender = || Sender::new(PATIENCE, closed_by);
    // The settings have already parsed each URL. An error here would still not contain it.
    let parsed = |url: &str| url.parse().map_err(|_| WebhookError::unreadable());
    let mut channels = Vec::new();
    if let Some(url) = &settings.webhook {
        let (url, key) = (parsed(url.reveal())?, settings.webhook_secret.clone());
        channels.push(Channel::Webhook(Webhook { url, key, sender: sender()? }));
    }
    if let Some(url) = &settings.slack {
        channels.push(Channel::Slack(Slack { url: parsed(url.reveal())?, sender: sender()? }));
    }
    if let (Some(key), Some(url)) = (&settings.pagerduty_key, &settings.pagerduty_url) {
        let (url, key) = (parsed(url)?, key.clone());
        channels.push(Channel::PagerDuty(PagerDuty { url, key, sender: sender()? }));
    }
    if !settings.email.is_empty() {
        channels.push(Channel::Email(Email { to: settings.email.clone(), mailer: mailer() }));
    }
    Ok(channels)
}

#[cfg(test)]
mod tests;
