//! The channels by which a notice can reach its receiver.

use reqwest::Url;
use tidegate_outgoing::webhook::Sender;

use super::context::Context;
use super::email::Email;
use super::failure::Failure;
use super::pagerduty::PagerDuty;
use super::slack::Slack;
use super::webhook::Webhook;
use crate::alerts::notice::Notice;

/// The channel of a receiver.
#[derive(Debug)]
pub(super) enum Channel {
    Webhook(Webhook),
    Slack(Slack),
    PagerDuty(PagerDuty),
    Email(Email),
}

impl Channel {
    /// Its name in metrics and the log.
    pub(super) const fn way(&self) -> &'static str {
        match self {
            Self::Webhook(_) => "webhook",
            Self::Slack(_) => "slack",
            Self::PagerDuty(_) => "pagerduty",
            Self::Email(_) => "email",
        }
    }

    /// Returns the setting that has its URL, the URL, and its sender. `None` for mail.
    pub(super) fn posts_to(&self) -> Option<(&'static str, Url, Sender)> {
        match self {
            Self::Webhook(Webhook { url, sender, .. }) => Some(("alerts.webhook", url.clone(), sender.clone())),
            Self::Slack(Slack { url, sender }) => Some(("alerts.slack_url", url.clone(), sender.clone())),
            Self::PagerDuty(PagerDuty { url, sender, .. }) => {
                Some(("alerts.pagerduty_url", url.clone(), sender.clone()))
            }
            Self::Email(_) => None,
        }
    }

    /// Sends a notice once.
    pub(super) async fn send(&self, notice: &Notice, context: &Context) -> Result<(), Failure> {
        match self {
            Self::Webhook(webhook) => webhook.send(notice).await,
            Self::Slack(slack) => slack.send(notice, context).await,
            Self::PagerDuty(pagerduty) => pagerduty.send(notice, context).await,
            Self::Email(email) => email.send(notice, context).await,
        }
    }
}
