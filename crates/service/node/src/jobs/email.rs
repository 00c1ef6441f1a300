//! Queue `email`: sends one mail.
//!
//! A mail is sent at least once. If the server accepted it and the answer was lost, it is sent
//! again with the same `Message-ID`.

use serde::{Deserialize, Serialize};
use serde_json::json;
use tidegate_model::tenant::TenantId;
use tidegate_outgoing::email::{Mail, Mailer};
use tidegate_queue::{Context, Handler, Job, Outcome, WorkerBuilder};

use super::JobContext;

/// Sends a mail to all of its recipients, or to none if one of them is refused.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SendEmail {
    /// The tenant that sends the mail.
    pub tenant: TenantId,
    /// Recipients: addresses with or without a name, such as `Ada <ada@example.org>`.
    pub to: Vec<String>,
    /// Subject: one line of at most 500 characters.
    pub subject: String,
    /// Text.
    pub text: String,
    /// The text as HTML. `None` for a mail with plain text only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub html: Option<String>,
}

impl Job for SendEmail {
    const KIND: &'static str = "email.send";
    const QUEUE: &'static str = "email";
}

/// Runs [`SendEmail`].
#[derive(Debug, Clone)]
pub(crate) struct EmailHandler {
    /// Sends the mails.
    pub(crate) mailer: Mailer,
}

/// Adds the handler of mails to the worker.
pub(super) fn join(worker: WorkerBuilder, context: &JobContext<'_>) -> WorkerBuilder {
    let mailer = Mailer::new(context.settings, context.store.installation());
    worker.handler::<SendEmail, _>(EmailHandler { mailer })
}

#[async_trait::async_trait]
impl Handler<SendEmail> for EmailHandler {
    async fn run(&self, job: SendEmail, context: &Context) -> Outcome {
        let SendEmail { tenant: _, to, subject, text, html } = job;
        let recipients = to.len();
        match self.mailer.send(context.id().as_str(), &Mail { to, subject, text, html }).await {
            Ok(()) => Outcome::done(json!({"recipients": recipients})),
            Err(error) if error.is_for_good() => Outcome::bury(error),
            Err(error) => Outcome::retry(error),
        }
    }
}

#[cfg(test)]
#[path = "email_tests.rs"]
mod tests;
