//! What all pages have in common.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use maud::{DOCTYPE, Markup, html};

use super::assets::{ICON, SCRIPT, STYLE};
use super::flash::Flash;
use super::here::{Here, LIVE, LOGOUT};
use crate::pages::visitor::Visitor;
use tidegate_web::app::App;
use tidegate_web::dashboard_session::{Role, form_token::FormToken};
use tidegate_web::problem::{AsPage, Problem};

/// How the script keeps a page up to date. The page is complete without the script.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kept {
    /// The stream brings the figures. The parts are reloaded when this number changes.
    Streamed(u64),
    /// The parts are reloaded every few seconds.
    Renewed,
    /// The page is not updated, because its content is too expensive to request repeatedly.
    Still,
}

/// The visitor, and the token of each of their forms.
#[derive(Debug, Clone)]
pub(super) struct Frame {
    pub(super) visitor: Visitor,
    form: FormToken,
}

impl FromRequestParts<App> for Frame {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Response> {
        let visitor = Visitor::from_request_parts(parts, app).await?;
        Ok(Self { visitor, form: FormToken::of(app.pages_key(), &parts.headers) })
    }
}

impl Frame {
    /// Whether the visitor sees forms that make changes.
    pub(super) fn may_change(&self) -> bool {
        self.visitor.role == Role::Admin
    }

    /// The field that each form holds.
    pub(super) fn field(&self) -> Markup {
        html! { input type="hidden" name="form" value=(self.form.field()); }
    }

    /// Sets the cookie that the field is bound to.
    pub(super) fn bind(&self, response: &mut Response) {
        self.form.bind(response);
    }

    /// A form that is one button. `about` names its object for screen readers. With `asks`, the
    /// script asks first.
    pub(super) fn button(&self, does: &Button<'_>, fields: &[(&str, &str)]) -> Markup {
        html! {
            form method="post" action=(does.action) data-confirm=[does.asks] {
                (self.field())
                @for (name, value) in fields { input type="hidden" name=(name) value=(value); }
                button class=[does.asks.map(|_| "danger")] { (does.label) @if !does.about.is_empty() { span.visually-hidden { " " (does.about) } } }
            }
        }
    }
}

/// A change that needs only a button.
#[derive(Debug, Clone, Copy)]
pub(super) struct Button<'a> {
    pub(super) action: &'a str,
    pub(super) label: &'a str,
    pub(super) about: &'a str,
    /// The question before the change.
    pub(super) asks: Option<&'a str>,
}

pub(super) struct Page<'a> {
    here: Here,
    title: &'a str,
    /// The address for reloading, without a one-time message.
    path: String,
    /// The parent page.
    above: Option<(&'a str, &'a str)>,
    flash: Option<Flash>,
    /// Why the requested change was not made.
    refused: Option<String>,
    kept: Kept,
}

impl<'a> Page<'a> {
    /// Creates the page with that name.
    pub(super) fn of(here: Here) -> Self {
        Self {
            here,
            title: here.title(),
            path: here.path().to_owned(),
            above: None,
            flash: None,
            refused: None,
            kept: Kept::Renewed,
        }
    }

    /// Creates a page below it.
    pub(super) fn below(here: Here, title: &'a str, path: String, above: (&'a str, &'a str)) -> Self {
        Self { title, path, above: Some(above), ..Self::of(here) }
    }

    /// Sets the address that shows the same content again.
    pub(super) fn at(self, path: String) -> Self {
        Self { path, ..self }
    }

    pub(super) fn saying(self, flash: Option<Flash>) -> Self {
        Self { flash, ..self }
    }

    /// Sets the message of a button that was refused.
    pub(super) fn refusing(self, problem: Option<&Problem>) -> Self {
        Self { refused: problem.map(|problem| problem.detail().to_owned()), ..self }
    }

    /// Marks figures as streamed, with the number of the parts.
    pub(super) fn streamed(self, parts: u64) -> Self {
        Self { kept: Kept::Streamed(parts), ..self }
    }

    /// Marks the page as not updated, if `is_still` is set.
    pub(super) fn still(self, is_still: bool) -> Self {
        if is_still { Self { kept: Kept::Still, ..self } } else { self }
    }

    pub(super) fn show(&self, frame: &Frame, body: &Markup) -> Response {
        let (stream, parts) = match self.kept {
            Kept::Streamed(parts) => (Some(LIVE), Some(parts)),
            Kept::Renewed | Kept::Still => (None, None),
        };
        let markup = document(
            self.title,
            &self.header(frame),
            &html! {
                main #main tabindex="-1" data-stream=[stream] data-parts=[parts] data-still[self.kept == Kept::Still] {
                    div.title {
                        h1 {
                            @if let Some((name, path)) = self.above { a href=(path) { (name) } span.sep aria-hidden="true" { " / " } }
                            (self.title)
                        }
                        div.note.now {
                            "Updated " span data-live="at" { (tidegate_base::clock::now().format("%H:%M:%S UTC").to_string()) }
                            span data-stream-status role="status" {}
                            a data-refresh href=(self.path) { "Refresh" }
                            button data-pause type="button" aria-pressed="false" hidden { "Pause" }
                        }
                    }
                    @if let Some(flash) = &self.flash { (flash.show()) }
                    @if let Some(refused) = &self.refused { p.flash role="alert" { (refused) } }
                    (body)
                }
            },
        );
        let mut response = markup.into_response();
        frame.bind(&mut response);
        response
    }

    fn header(&self, frame: &Frame) -> Markup {
        let visitor = &frame.visitor;
        let role = match (visitor.has_session, visitor.role) {
            (false, _) => "No login (localhost only)",
            (true, Role::Admin) => "Admin",
            (true, Role::Reader) => "Read only",
        };
        html! {
            (nav(self.here))
            div.who {
                span { (role) }
                @if visitor.has_session {
                    form method="post" action=(LOGOUT) { (frame.field()) button { "Log out" } }
                }
            }
        }
    }
}

pub(super) fn nav(here: Here) -> Markup {
    html! {
        nav aria-label="Dashboard" {
            ul {
                @for place in Here::ALL {
                    li { a href=(place.path()) aria-current=[(place == here).then_some("page")] { (place.title()) } }
                }
            }
        }
    }
}

/// Returns the answer to a problem with a page as its body. The problem stays attached for the
/// log, and its headers are kept.
pub(super) fn shown(answer: Response, problem: Problem, page: Response) -> Response {
    let (shown, body) = page.into_parts();
    let (mut parts, _) = answer.into_parts();
    for name in [header::CONTENT_TYPE, header::CONTENT_LENGTH] {
        parts.headers.remove(&name);
    }
    parts.headers.extend(shown.headers);
    parts.extensions.insert(problem);
    parts.extensions.insert(AsPage);
    Response::from_parts(parts, body)
}

/// Renders a page with one element.
pub(super) fn plain(status: StatusCode, title: &str, header: &Markup, body: &Markup) -> Response {
    let markup = document(
        title,
        header,
        &html! {
            main #main tabindex="-1" { div.card.narrow { h1 { (title) } (body) } }
        },
    );
    (status, markup).into_response()
}

fn document(title: &str, header: &Markup, main: &Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                title { (title) " · Tidegate" }
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                link rel="icon" type="image/svg+xml" href=(ICON.path);
                link rel="stylesheet" href=(STYLE.path);
                script type="module" src=(SCRIPT.path) {}
            }
            body {
                a.skip href="#main" { "Skip to content" }
                header.top {
                    a.brand href="/dashboard" { img src=(ICON.path) width="20" height="20" alt=""; "Tidegate" }
                    (header)
                }
                (main)
            }
        }
    }
}
