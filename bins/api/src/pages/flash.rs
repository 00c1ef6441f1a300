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

const LEFT: &str = " # are left as they are: their state doesn't allow it, they are gone, or the time was over.";
const MORE: &str = " The time was over: there may be more, so do it again.";

/// Code, text, and the text for remaining items. `#` stands for the count.
const SAYINGS: [(&str, &str, &str); 33] = [
    ("queue-paused", "Paused: workers take no more of its jobs; those that run go on.", ""),
    ("queue-resumed", "Resumed: workers take its jobs again.", ""),
    ("drained", "Cancelled # jobs that had not started.", MORE),
    ("revived", "Made # dead jobs ready, with fresh attempts.", MORE),
    ("cleaned", "Removed # finished jobs.", MORE),
    ("retried", "Made # of the ticked jobs ready.", LEFT),
    ("cancelled", "Cancelled # of the ticked jobs; one that runs is asked to stop.", LEFT),
    ("promoted", "Made # of the ticked jobs ready before their time.", LEFT),
    ("removed", "Deleted # of the ticked jobs.", LEFT),
    ("job-removed", "The job is deleted.", ""),
    ("job-retried", "The job is ready again.", ""),
    ("job-cancelled", "The job is cancelled.", ""),
    ("job-asked", "Its worker is asked to stop.", ""),
    ("job-promoted", "The job is ready, before its time.", ""),
    ("no-job", "There is no such job, and none among the first 1,000 of this state whose id or kind holds that.", ""),
    ("schedule-paused", "Paused: it makes no jobs.", ""),
    ("schedule-resumed", "Resumed: it makes jobs again.", ""),
    ("triggered", "A job of it is enqueued.", ""),
    ("schedule-deleted", "Deleted; the jobs that it made stay.", ""),
    ("blocked", "Blocked, on every node.", ""),
    ("unblocked", "The block is ended, and its strikes are forgotten.", ""),
    ("not-blocked", "That key was not blocked; its strikes, if any, are forgotten.", ""),
    ("forgotten", "What that key had used is forgotten, with block and strikes.", ""),
    ("not-known", "Nothing was counted under that key.", ""),
    ("quota-set", "The limiter has another quota; what was charged stays charged.", ""),
    ("plan-set", "The tenant's plan is changed, on every node.", ""),
    ("warming", "The warm-up has begun.", ""),
    ("invalidated", "Dropped on every node; # entries of this one.", ""),
    ("invalidated-all", "Dropped on every node.", ""),
    ("silenced", "No notifications are sent for that long; the alert itself continues.", ""),
    ("silence-lifted", "The silence has ended: notifications are sent again.", ""),
    ("not-silenced", "There was no such silence any more.", ""),
    ("nothing-ticked", "Nothing was ticked, and nothing is changed.", ""),
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
        assert!(shown.contains("Cancelled 7 of") && shown.contains("2 are left"), "{shown}");
        let shown = Flash::of(Some("queue-paused"), None, None).unwrap().show().into_string();
        assert!(!shown.contains("are left"), "{shown}");
    }
}
