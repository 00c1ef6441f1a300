//! The message after an action: a code and two counts in the address, never a text from there.

use axum::response::Redirect;
use maud::{Markup, html};

/// A finished action, as an address reports it. Each page's query holds these three.
#[derive(Debug, Clone, Copy)]
pub(super) struct Flash {
    text: &'static str,
    rest: &'static str,
    done: u64,
    left: u64,
}

const LEFT: &str = " # are unchanged: wrong state, already gone, or no time left.";
const MORE: &str = " No time left: repeat it if there are more.";

/// Code, text, and the text for remaining items. `#` stands for the count.
const SAYINGS: [(&str, &str, &str); 33] = [
    ("queue-paused", "Queue paused. Running jobs will finish.", ""),
    ("queue-resumed", "Queue resumed.", ""),
    ("drained", "Cancelled # jobs that had not started.", MORE),
    ("revived", "Made # dead jobs ready, with fresh attempts.", MORE),
    ("cleaned", "Deleted # finished jobs.", MORE),
    ("retried", "Made # of the selected jobs ready.", LEFT),
    ("cancelled", "Cancelled # of the selected jobs; running ones are asked to stop.", LEFT),
    ("promoted", "Made # of the selected jobs ready before they are due.", LEFT),
    ("removed", "Deleted # of the selected jobs.", LEFT),
    ("job-removed", "Job deleted.", ""),
    ("job-retried", "The job is ready again.", ""),
    ("job-cancelled", "Job cancelled.", ""),
    ("job-asked", "The worker of the job is asked to stop.", ""),
    ("job-promoted", "The job is ready, before it is due.", ""),
    ("no-job", "No job found with this ID, nor among the first 1,000 of this state with this text in ID or kind.", ""),
    ("schedule-paused", "Schedule paused: it enqueues no jobs.", ""),
    ("schedule-resumed", "Schedule resumed.", ""),
    ("triggered", "Enqueued a job of the schedule.", ""),
    ("schedule-deleted", "Schedule deleted. Its existing jobs stay.", ""),
    ("blocked", "Key blocked on every node.", ""),
    ("unblocked", "Key unblocked, and its strikes are reset.", ""),
    ("not-blocked", "The key was not blocked; any strikes are reset.", ""),
    ("forgotten", "Usage, block and strikes of the key are reset.", ""),
    ("not-known", "The key has no usage.", ""),
    ("quota-set", "Quota changed. Usage so far still counts.", ""),
    ("plan-set", "The tenant's plan is changed on every node.", ""),
    ("warming", "Warm-up started.", ""),
    ("invalidated", "Invalidated on every node; # entries on this one.", ""),
    ("invalidated-all", "Invalidated on every node.", ""),
    ("silenced", "Alert silenced: no notifications, but it keeps firing.", ""),
    ("silence-lifted", "Silence ended: notifications are sent again.", ""),
    ("not-silenced", "This silence no longer exists.", ""),
    ("nothing-ticked", "No job was selected; nothing changed.", ""),
];

impl Flash {
    /// `None` if the code is unknown.
    pub(super) fn of(code: Option<&str>, done: Option<u64>, left: Option<u64>) -> Option<Self> {
        let (_, text, rest) = SAYINGS.iter().find(|(known, ..)| Some(*known) == code)?;
        Some(Self { text, rest, done: done.unwrap_or(0), left: left.unwrap_or(0) })
    }

    pub(super) fn show(&self) -> Markup {
        html! {
            p.flash.done role="status" {
                (self.text.replace('#', &self.done.to_string()))
                @if self.left > 0 { (self.rest.replace('#', &self.left.to_string())) }
            }
        }
    }
}

/// Redirects to a page that shows the message.
pub(super) fn said(path: &str, code: &'static str) -> Redirect {
    debug_assert!(SAYINGS.iter().any(|(known, ..)| *known == code), "{code}");
    Redirect::to(&format!("{path}{}said={code}", joint(path)))
}

/// Redirects to a page that shows the message, with the number of jobs done and left.
pub(super) fn counted(path: &str, code: &'static str, done: usize, left: usize) -> Redirect {
    debug_assert!(SAYINGS.iter().any(|(known, ..)| *known == code), "{code}");
    Redirect::to(&format!("{path}{}said={code}&done={done}&left={left}", joint(path)))
}

fn joint(path: &str) -> char {
    if path.contains('?') { '&' } else { '?' }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_says_what_is_known_alone() {
        assert!(Flash::of(Some("<script>"), None, None).is_none() && Flash::of(None, Some(1), None).is_none());
        let shown = Flash::of(Some("cancelled"), Some(7), Some(2)).unwrap().show().into_string();
        assert!(shown.contains("Cancelled 7 of") && shown.contains("2 are unchanged"), "{shown}");
        let shown = Flash::of(Some("queue-paused"), None, None).unwrap().show().into_string();
        assert!(!shown.contains("are unchanged"), "{shown}");
    }
}
