//! Notices to tenants, and webhooks.

use std::time::Duration;

use crate::error::SettingsError;
use crate::reader::Reader;
use crate::setting::{Setting, setting};

pub(crate) const SETTINGS: &[Setting] = &[
    setting(
        "notifications",
        "TIDEGATE_NOTIFICATIONS",
        Some("keep=7d, streams=1000, streams_per_tenant=32"),
        "notices: how long one can be read by a client that was offline, and the maximum number of their open event streams per process and per tenant",
    ),
    setting(
        "webhooks",
        "TIDEGATE_WEBHOOKS",
        Some("private_addresses=off, timeout=5s, per_tenant=10"),
        "webhooks of tenants: `on`, whether they may be on a private network or on this machine, the timeout of one attempt, and the maximum number per tenant",
    ),
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
    let options = raw.options("notifications")?;
    Ok(NotificationSettings {
        keep: options.duration("keep", SECOND, 400 * DAY)?,
        streams: options.count("streams", 1..=100_000)?,
        streams_per_tenant: options.count("streams_per_tenant", 1..=100_000)?,
    })
}

pub(crate) fn webhook(raw: &Reader<'_>) -> Result<WebhookSettings, SettingsError> {
    let options = raw.options("webhooks")?;
    Ok(WebhookSettings {
        private_addresses: options.switch("private_addresses")?,
        timeout: options.duration("timeout", Duration::from_millis(100), Duration::from_secs(60))?,
        per_tenant: options.count("per_tenant", 1..=1000)?,
    })
}
