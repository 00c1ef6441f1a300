//! Sends mails of jobs through a mail server, or stores them as files if none is configured.

mod message;
mod outbox;
mod smtp;

use std::path::PathBuf;
use std::sync::Arc;

use tidegate_perfmon::mask;
use tidegate_settings::{EmailSettings, Settings};

pub use message::Mail;
use outbox::Outbox;

/// Sends mails. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Mailer {
    settings: Arc<EmailSettings>,
    installation: Arc<str>,
    outbox: PathBuf,
}

/// A mail was not sent, or the outcome is unknown.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// The content is not a valid mail.
    #[error("invalid mail: {0}")]
    Unfit(String),
    /// The server refused it permanently.
    #[error("the mail server refuses the mail permanently: {0}")]
    Refused(String),
    /// The server refused it temporarily.
    #[error("the mail server refuses the mail temporarily: {0}")]
    Later(String),
    /// The server refused the login, or lacks a required feature. The mail is not the cause.
    #[error("the mail server can't be used: {0}")]
    Unusable(String),
    /// The server did not answer in time. It may have accepted the mail.
    #[error("the mail server did not accept the mail within {} s", .0.as_secs_f64())]
    TimedOut(std::time::Duration),
    /// The connection could not be established, or was lost.
    #[error("no connection to the mail server: {0}")]
    Connection(String),
    /// The file can't be written.
    #[error("outbox: {0}")]
    Outbox(#[from] std::io::Error),
}

impl SendError {
    /// Whether a retry is useless.
    pub fn is_for_good(&self) -> bool {
        matches!(self, Self::Unfit(_) | Self::Refused(_))
    }
}

impl Mailer {
    /// Makes a mailer for that installation.
    pub fn new(settings: &Settings, installation: &str) -> Self {
        let outbox = settings.data_dir.join("outbox");
        Self { settings: Arc::new(settings.email.clone()), installation: installation.into(), outbox }
    }

    /// Sends a mail to all of its recipients or to none. `id` is the id of the job, which is the
    /// same in each attempt. So the recipient's mail program can recognize a duplicate.
    ///
    /// # Errors
    ///
    /// [`SendError`], which shows whether to retry.
    pub async fn send(&self, id: &str, mail: &Mail) -> Result<(), SendError> {
        let message = message::compose(mail, id, &self.installation, &self.settings)?;
        let Some(server) = &self.settings.server else {
            return Ok(Outbox(&self.outbox).keep(&self.installation, id, message.formatted()).await?);
        };
        smtp::send(server, message.envelope(), &message.formatted(), self.settings.timeout).await
    }
}

/// Formats a server's answer for errors, which are shown: on one line, without secrets and
/// addresses. It is masked before it is truncated, so that no part of an address remains.
fn shown(text: &str) -> String {
    const MOST_READ: usize = 4096;
    const MOST: usize = 200;
    let line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(MOST_READ).collect();
    mask(&line).chars().take(MOST).collect()
}

#[cfg(test)]
mod tests {
    use super::shown;

    #[test]
    fn a_server_reply_is_shown_on_one_line_without_addresses() {
        assert_eq!(shown("550 no\r\nsuch user"), "550 no  such user");
        let long = format!("{} ada@example.org", "x".repeat(190));
        assert!(!shown(&long).contains("ada@"), "{}", shown(&long));
        assert_eq!(shown(&"x".repeat(10_000)).len(), 200);
    }
}
