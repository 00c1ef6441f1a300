//! Notices to tenants, and webhooks.

use std::time::Duration;

use crate::error::SettingsError;
use crate::reader::Reader;
use crate::setting::{Setting, setting};

pub(crate) const SETTINGS: &[Setting] = &[
    setting(
        "notifications.keep",
        "TIDEGATE_NOTIFICATIONS_KEEP",
        Some("7d"),
        "how long a notice can be read by a client that was offline",
    ),
    setting(
        "notifications.streams",
        "TIDEGATE_NOTIFICATIONS_STREAMS",
        Some("1000"),
        "maximum number of open event streams of notices per process",
    ),
    setting(
        "notifications.streams_per_tenant",
        "TIDEGATE_NOTIFICATIONS_STREAMS_PER_TENANT",
        Some("32"),
        "maximum number of these streams per tenant",
    ),
    setting(
        "webhook.private_addresses",
        "TIDEGATE_WEBHOOK_PRIVATE_ADDRESSES",
        Some("off"),
        "`on`: tenants' webhooks may be on a private network or on this machine",
    ),
    setting("webhook.timeout", "TIDEGATE_WEBHOOK_TIMEOUT", Some("5s"), "timeout of one attempt to post to a webhook"),
    setting("webhook.per_tenant", "TIDEGATE_WEBHOOK_PER_TENANT", Some("10"), "maximum number of webhooks per tenant"),
];

/// Notices to tenants.
#[derive(Debug, Clone, Copy)]
pub struct NotificationSettings {
    /// How long a notice can be read.
    pub keep: Duration,
    /// Maximum number of open event streams of notices per process.
    pub streams: usize,
    /// Maximum number of these per tenant.
    pub streams_per_tenant: usize,
}

/// Delivery of events to tenants' URLs.
#[derive(Debug, Clone, Copy)]
pub struct WebhookSettings {
    /// Whether a URL may have an address in a private network.
    pub private_addresses: bool,
    /// Timeout of one attempt, from resolving the name to the head of the response.
    pub timeout: Duration,
    /// Maximum number of webhooks per tenant.
    pub per_tenant: usize,
}

const SECOND: Duration = Duration::from_secs(1);
const DAY: Duration = Duration::from_secs(24 * 3600);

pub(crate) fn notifications(raw: &Reader<'_>) -> Result<NotificationSettings, SettingsError> {
    Ok(NotificationSettings {
        keep: raw.duration("notifications.keep", SECOND, 400 * DAY)?,
        streams: raw.count("notifications.streams", 1..=100_000)?,
        streams_per_tenant: raw.count("notifications.streams_per_tenant", 1..=100_000)?,
    })
}

pub(crate) fn webhook(raw: &Reader<'_>) -> Result<WebhookSettings, SettingsError> {
    Ok(WebhookSettings {
        private_addresses: raw.switch("webhook.private_addresses")?,
        timeout: raw.duration("webhook.timeout", Duration::from_millis(100), Duration::from_secs(60))?,
        per_tenant: raw.count("webhook.per_tenant", 1..=1000)?,
    })
}
