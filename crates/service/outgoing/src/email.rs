//! Mails: made from what a job says, and given to a server or, without one, kept as files.

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

/// Why a mail was not sent, or isn't known to have been.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// It is no mail.
    #[error("not a mail: {0}")]
    Unfit(String),
    /// The server wants it never.
    #[error("the mail server refuses it for good: {0}")]
    Refused(String),
    /// The server doesn't want it now.
    #[error("the mail server refuses it for now: {0}")]
    Later(String),
    /// The server did not let us in, or can't do what it is asked for: nothing is wrong with the mail.
    #[error("the mail server can't be used: {0}")]
    Unusable(String),
    /// No word came from the server in time. It may have taken the mail.
    #[error("the mail server did not take it within {} s", .0.as_secs_f64())]
    TimedOut(std::time::Duration),
    /// The connection could not be made, or broke.
    #[error("no connection to the mail server: {0}")]
    Connection(String),
    /// The file can't be written.
    #[error("outbox: {0}")]
    Outbox(#[from] std::io::Error),
}

impl SendError {
    /// Whether another try is of no use.
    pub fn is_for_good(&self) -> bool {
        matches!(self, Self::Unfit(_) | Self::Refused(_))
    }
}

impl Mailer {
    /// For mails of that installation.
    pub fn new(settings: &Settings, installation: &str) -> Self {
        let outbox = settings.data_dir.join("outbox");
        Self { settings: Arc::new(settings.email.clone()), installation: installation.into(), outbox }
    }

    /// Sends a mail to all of its recipients or none. `id` is its job's: the same whenever it is tried, so that a recipient's mail
    /// program knows the second of two copies.
    ///
    /// # Errors
    ///
    /// [`SendError`] says whether to try again.
    pub async fn send(&self, id: &str, mail: &Mail) -> Result<(), SendError> {
        let message = message::compose(mail, id, &self.installation, &self.settings)?;
        let Some(server) = &self.settings.server else {
            return Ok(Outbox(&self.outbox).keep(&self.installation, id, message.formatted()).await?);
        };
        smtp::send(server, message.envelope(), &message.formatted(), self.settings.timeout).await
    }
}

/// What a server says goes into errors, which are shown: on one line, without what looks like a secret or an address. Masked before it is
/// cut, so that no half of an address is left.
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
    fn what_a_server_says_is_shown_on_one_line_without_addresses() {
        assert_eq!(shown("550 no\r\nsuch user"), "550 no  such user");
        let long = format!("{} ada@example.org", "x".repeat(190));
        assert!(!shown(&long).contains("ada@"), "{}", shown(&long));
        assert_eq!(shown(&"x".repeat(10_000)).len(), 200);
    }
}
