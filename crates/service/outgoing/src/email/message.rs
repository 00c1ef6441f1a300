//! Composes the bytes of a mail from a job.

use lettre::Message;
use lettre::message::{Mailbox, MultiPart, SinglePart};
use tidegate_settings::EmailSettings;

use super::SendError;

/// Maximum number of characters of a subject.
const LONGEST_SUBJECT: usize = 500;

/// Content and recipients of a mail.
#[derive(Debug, Clone)]
pub struct Mail {
    /// Recipients: addresses with or without a name, such as `Ada <ada@example.org>`.
    pub to: Vec<String>,
    /// Subject.
    pub subject: String,
    /// Text.
    pub text: String,
    /// The text as HTML. `None` for a mail with plain text only.
    pub html: Option<String>,
}

/// Composes the mail. All headers are made here, and no content of a job can end a header and begin
/// another.
pub(super) fn compose(
    mail: &Mail,
    id: &str,
    installation: &str,
    settings: &EmailSettings,
) -> Result<Message, SendError> {
    let unfit = |reason: String| SendError::Unfit(reason);
    if mail.to.is_empty() || mail.to.len() > settings.max_recipients {
        let (found, most) = (mail.to.len(), settings.max_recipients);
        return Err(unfit(format!("it has {found} recipients; 1 to {most} are allowed")));
    }
    if mail.subject.chars().any(char::is_control) {
        return Err(unfit("the subject contains a control character".to_owned()));
    }
    if mail.subject.chars().count() > LONGEST_SUBJECT {
        return Err(unfit(format!("the subject is longer than {LONGEST_SUBJECT} characters")));
    }
    let mut message = Message::builder()
        .from(settings.from.clone())
        .subject(mail.subject.as_str())
        .message_id(Some(message_id(id, installation, settings.from.email.domain())))
        // Mail servers must not send automatic replies.
        .header(AutoSubmitted)
        .date_now();
    for (number, to) in (1..).zip(&mail.to) {
        // The error must not contain the address, since errors are shown.
        message = message.to(recipient(to).ok_or_else(|| unfit(format!("recipient {number} is not an address")))?);
    }
    let made = match &mail.html {
        Some(html) => message.multipart(MultiPart::alternative_plain_html(mail.text.clone(), html.clone())),
        None => message.singlepart(SinglePart::plain(mail.text.clone())),
    };
    made.map_err(|error| unfit(error.to_string()))
}

/// Parses a mailbox. `None` if the text is not a valid one.
fn recipient(text: &str) -> Option<Mailbox> {
    let mailbox: Mailbox = text.parse().ok()?;
    let named = mailbox.name.iter().flat_map(|name| name.chars());
    (!text.chars().chain(named).any(char::is_control)).then_some(mailbox)
}

/// Replaces characters that are valid in a job's id but not before the `@` with characters that no
/// such id contains.
fn message_id(id: &str, installation: &str, domain: &str) -> String {
    let id: String = id
        .chars()
        .map(|c| match c {
            ':' => '=',
            '.' => '+',
            other => other,
        })
        .collect();
    format!("<{id}.{installation}@{domain}>")
}

/// The header of RFC 3834 for mails that a program sent.
#[derive(Debug, Clone, Copy)]
struct AutoSubmitted;

impl lettre::message::header::Header for AutoSubmitted {
    fn name() -> lettre::message::header::HeaderName {
        lettre::message::header::HeaderName::new_from_ascii_str("Auto-Submitted")
    }

    fn parse(_: &str) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        Ok(Self)
    }

    fn display(&self) -> lettre::message::header::HeaderValue {
        lettre::message::header::HeaderValue::new(Self::name(), "auto-generated".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidegate_settings::test_ground::check_with;

    fn mail(to: &[&str], subject: &str) -> Mail {
        let to = to.iter().map(ToString::to_string).collect();
        Mail { to, subject: subject.to_owned(), text: "Hello.\r\n.\r\nBcc: x@example.org\r\n".to_owned(), html: None }
    }

    fn composed(mail: &Mail) -> Result<String, SendError> {
        let settings = check_with(&[("TIDEGATE_EMAIL_FROM", "Shop <shop@example.com>")]).unwrap().email;
        let message = compose(mail, "rem-1:2..3", "cafe", &settings)?;
        Ok(String::from_utf8(message.formatted()).unwrap())
    }

    #[test]
    fn headers_are_made_here_alone() {
        let text = composed(&mail(&["Zoë <zoe@example.org>", "bob@example.org"], "Zoë's schedule")).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        let names: Vec<_> = head
            .split("\r\n")
            .filter(|line| !line.starts_with([' ', '\t']))
            .map(|line| line.split_once(':').expect("a header").0)
            .collect();
        assert_eq!(names.iter().filter(|name| **name == "To").count(), 1, "{head}");
        assert!(!names.iter().any(|name| name.eq_ignore_ascii_case("bcc")), "{head}");
        assert!(head.contains("Message-ID: <rem-1=2++3.cafe@example.com>"), "{head}");
        assert!(head.contains("From: Shop <shop@example.com>") && head.contains("Auto-Submitted"), "{head}");
        assert!(head.is_ascii() && body.contains("Bcc: x@example.org"), "{text}");
    }

    #[test]
    fn headers_cannot_be_injected() {
        for subject in ["a\r\nBcc: x@example.org", "a\nb", "a\rb", "a\0b", "a\u{85}b"] {
            assert!(composed(&mail(&["ada@example.org"], subject)).unwrap_err().is_for_good(), "{subject:?}");
        }
        for to in [
            "ada@example.org\r\nBcc: x@example.org",
            "Ada\r\nBcc: x@example.org <ada@example.org>",
            "\"Ada\nBcc: x@example.org\" <ada@example.org>",
            "<ada@example.org>\r\nRCPT TO:<x@example.org>",
            "ada@example.org>\r\nDATA",
            "ada",
            "",
        ] {
            let error = composed(&mail(&[to], "s")).unwrap_err();
            assert!(error.is_for_good() && !error.to_string().contains("example.org"), "{to:?}: {error}");
        }
    }

    #[test]
    fn recipients_are_counted() {
        assert!(composed(&mail(&[], "s")).unwrap_err().is_for_good());
        assert!(composed(&mail(&["ada@example.org"; 50], "s")).is_ok());
        assert!(composed(&mail(&["ada@example.org"; 51], "s")).unwrap_err().is_for_good());
        assert!(composed(&mail(&["ada@example.org"], &"x".repeat(501))).unwrap_err().is_for_good());
    }
}
