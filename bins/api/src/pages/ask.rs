//! The question before what can't be undone. With the script, the browser asks in a dialogue and
//! sends `sure` at once. Without it, the form comes back as a page with all its fields.

use axum::http::StatusCode;
use axum::response::Response;
use maud::{Markup, html};

use super::here::Here;
use super::layout::{Frame, nav, plain};

pub(super) struct Question<'a> {
    pub(super) title: &'a str,
    /// The effect, in a sentence or two.
    pub(super) text: &'a Markup,
    /// Label of the button that confirms.
    pub(super) yes: &'a str,
    /// Target of the form.
    pub(super) action: &'a str,
    /// Page to return to without doing it.
    pub(super) back: &'a str,
}

impl Question<'_> {
    /// The page that asks; `fields` are what was sent.
    pub(super) fn page(&self, frame: &Frame, fields: &[(&str, &str)]) -> Response {
        let mut response = plain(
            StatusCode::OK,
            self.title,
            &nav(Here::of(self.action)),
            &html! {
                (self.text)
                form method="post" action=(self.action) {
                    (frame.field())
                    @for (name, value) in fields { input type="hidden" name=(name) value=(value); }
                    div.buttons {
                        button.danger name="sure" value="yes" { (self.yes) }
                        a.button href=(self.back) { "Go back" }
                    }
                }
            },
        );
        frame.bind(&mut response);
        response
    }
}

/// Whether the field `sure` says so.
pub(super) fn is_sure(sure: Option<&str>) -> bool {
    sure == Some("yes")
}
