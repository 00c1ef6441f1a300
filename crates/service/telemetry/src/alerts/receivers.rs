//! The receivers of alerts. Each has a separate queue of notices and a separate task.

mod channel;
mod context;
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

use channel::Channel;
use context::Context;
use email::Email;
use pagerduty::PagerDuty;
pub(super) use receiver::Receiver;
use slack::Slack;
use webhook::Webhook;

/// Timeout of one attempt, from the name resolution to the headers of the answer.
const PATIENCE: Duration = Duration::from_secs(5);

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
        tracing::warn!(
            "alerts.email is set, but email.url is not: alert mails are written to files in data_dir/outbox"
        );
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
