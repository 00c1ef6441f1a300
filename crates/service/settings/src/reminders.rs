//! Reminders of schedules.

use std::time::Duration;

use crate::error::SettingsError;
use crate::reader::Reader;
use crate::setting::{Setting, setting};

pub(crate) const SETTINGS: &[Setting] = &[setting(
    "reminders",
    "TIDEGATE_REMINDERS",
    Some("lead=15m, horizon=1h, email=off, per_tenant_day=1000"),
    "reminders: how long before an occurrence of a schedule one is sent, how long before that it is prepared, whether attendees with a mail address get a mail, and the maximum per tenant and day (UTC)",
)];

/// Reminders of occurrences that are about to begin.
#[derive(Debug, Clone, Copy)]
pub struct ReminderSettings {
    /// How long before an occurrence its reminder is sent.
    pub lead: Duration,
    /// How long before sending it a reminder is prepared.
    pub horizon: Duration,
    /// Whether attendees that are mail addresses get a mail.
    pub email: bool,
    /// Maximum number of reminders, and of mails for them, per tenant and day.
    pub per_tenant_day: u32,
}

const DAY: Duration = Duration::from_secs(24 * 3600);

pub(crate) fn reminders(raw: &Reader<'_>) -> Result<ReminderSettings, SettingsError> {
    let options = raw.options("reminders")?;
    Ok(ReminderSettings {
        lead: options.duration("lead", Duration::ZERO, 7 * DAY)?,
        horizon: options.duration("horizon", Duration::from_secs(300), DAY)?,
        email: options.switch("email")?,
        per_tenant_day: options.count("per_tenant_day", 1..=1_000_000)?,
    })
}
