//! Reminders of schedules.

use std::time::Duration;

use super::SettingsError;
use super::reader::Reader;

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

pub(super) fn reminders(raw: &Reader<'_>) -> Result<ReminderSettings, SettingsError> {
    Ok(ReminderSettings {
        lead: raw.duration("reminders.lead", Duration::ZERO, 7 * DAY)?,
        horizon: raw.duration("reminders.horizon", Duration::from_secs(300), DAY)?,
        email: raw.switch("reminders.email")?,
        per_tenant_day: raw.count("reminders.per_tenant_day", 1..=1_000_000)?,
    })
}
