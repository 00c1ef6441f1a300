//! Sends mail to operators through the configured mail server.

use tidegate_base::clock;
use tidegate_outgoing::email::{Mail, Mailer};

use super::context::Context;
use super::failure::Failure;
use crate::alerts::notice::Notice;
use crate::alerts::sentence;

#[derive(Debug)]
pub(super) struct Email {
    pub(super) to: Vec<String>,
    pub(super) mailer: Mailer,
}

impl Email {
    pub(super) async fn send(&self, notice: &Notice, context: &Context) -> Result<(), Failure> {
        Ok(self.mailer.send(&notice.event, &mail(&self.to, notice, context)).await?)
    }
}

fn mail(to: &[String], notice: &Notice, context: &Context) -> Mail {
    let alert = &notice.step.alert;
    let at = clock::from_ms(i64::try_from(notice.step.at_unix_ms).unwrap_or(i64::MAX));
    let title: String = sentence::title(alert).chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let mut lines = vec![
        format!("{}.", sentence::summary(alert)),
        String::new(),
        format!("Severity: {}", alert.severity.name()),
        format!("At: {}", at.format("%Y-%m-%d %H:%M:%S UTC")),
        sentence::source(notice),
    ];
    lines.extend(alert.trace_id.as_ref().map(|trace| format!("Example trace: {trace}")));
    lines.extend(context.dashboard.as_ref().map(|url| format!("Dashboard: {url}")));
    lines.push(format!("Installation: {}", context.installation));
    let subject = format!("[Tidegate {}] {title}", alert.severity.name());
    Mail { to: to.to_vec(), subject, text: lines.join("\r\n"), html: None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alerts::test_alert::{alert, notice};

    #[test]
    fn the_subject_of_a_mail_names_the_alert() {
        let context = Context { installation: "cafe".into(), dashboard: Some("https://example.com/dashboard".into()) };
        let mail = mail(&["ops@example.com".to_owned()], &notice(alert("p99", "a\r\nBcc: x@example.org")), &context);
        assert_eq!(mail.subject, "[Tidegate critical] p99 of a  Bcc: x@example.org is firing");
        for line in [
            "Severity: critical",
            "At: 2023-11-14 22:13:20 UTC",
            "Reported by tidegate-api 7c0f6b0e on node-1.",
            "Dashboard: https://example.com/dashboard",
        ] {
            assert!(mail.text.lines().any(|found| found == line), "{line}: {}", mail.text);
        }
    }
}
