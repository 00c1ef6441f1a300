//! What all pages have in common.

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use maud::{DOCTYPE, Markup, html};

use super::assets::{ICON, SCRIPT, STYLE};
use super::live;
use super::session::{FormToken, Role, Visitor};

/// Where in the dashboard somebody is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Here {
    Overview,
    Performance,
}

impl Here {
    const ALL: [Self; 2] = [Self::Overview, Self::Performance];

    const fn title(self) -> &'static str {
        match self {
            Self::Overview => "Overview",
            Self::Performance => "Performance",
        }
    }

    pub(super) const fn path(self) -> &'static str {
        match self {
            Self::Overview => "/dashboard",
            Self::Performance => "/dashboard/performance",
        }
    }
}

/// A page of the dashboard, whose figures move. `form` is for the button that logs out.
pub(super) fn page(here: Here, visitor: &Visitor, form: &FormToken, body: &Markup) -> Response {
    let title = here.title();
    let role = match (visitor.has_session, visitor.role) {
        (false, _) => "open on this machine",
        (true, Role::Admin) => "admin",
        (true, Role::Reader) => "read only",
    };
    let markup = document(
        title,
        &html! {
            nav aria-label="Dashboard" {
                ul {
                    @for place in Here::ALL {
                        li { a href=(place.path()) aria-current=[(place == here).then_some("page")] { (place.title()) } }
                    }
                }
            }
            div.who {
                span { (role) }
                @if visitor.has_session {
                    form method="post" action="/dashboard/logout" {
                        input type="hidden" name="form" value=(form.field());
                        button { "Log out" }
                    }
                }
            }
        },
        &html! {
            main #main tabindex="-1" data-stream=(live::PATH) {
                div.title {
                    h1 { (title) }
                    span.note {
                        "As of " span data-live="at" { (tidegate_app::clock::now().format("%H:%M:%S UTC").to_string()) } " · "
                        span data-stream-status { a href=(here.path()) { "refresh" } }
                    }
                }
                (body)
            }
        },
    );
    let mut response = markup.into_response();
    form.bind(&mut response);
    response
}

/// A page with one thing on it.
pub(super) fn plain(status: StatusCode, title: &str, body: &Markup) -> Response {
    let markup = document(
        title,
        &html! {},
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
