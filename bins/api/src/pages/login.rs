//! Login with a token, and logout.

use axum::extract::{Extension, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use maud::html;
use serde::Deserialize;
use tidegate_settings::Rights;

use super::form::{Form, signed};
use super::here::{Here, LOGIN};
use super::layout::{plain, shown};
use super::next::Next;
use super::visitor::open;
use tidegate_web::app::App;
use tidegate_web::client::ClientKey;
use tidegate_web::dashboard_session::{self, Role, form_token::FormToken};
use tidegate_web::limits;
use tidegate_web::problem::Problem;
use tidegate_web::query::Query;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Login {
    token: String,
    /// Page to open after the login.
    next: Option<String>,
    form: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Logout {
    form: String,
}

signed!(Login, Logout);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LoginQuery {
    next: Option<String>,
}

/// Shows the form. If no token is set, there is nothing to log in to.
pub(super) async fn show(
    State(app): State<App>,
    Query(query): Query<LoginQuery>,
    parts: Parts,
) -> Result<Response, Problem> {
    let next = query.next.as_deref().and_then(Next::of);
    if !app.settings().tokens.any() {
        open(&app, &parts)?;
        return Ok(Redirect::to(onward(next.as_ref())).into_response());
    }
    Ok(form(&app, &parts.headers, next.as_ref(), None))
}

/// Begins a session with the token's role. An unknown token counts as a failed attempt, as for
/// operations.
pub(super) async fn begin(
    State(app): State<App>,
    Extension(ClientKey(client)): Extension<ClientKey>,
    headers: HeaderMap,
    sent: Result<Form<Login>, Problem>,
) -> Result<Response, Problem> {
    let login = match sent {
        Ok(Form(login)) => login,
        // For example a form that is too old. The page has a new one.
        Err(problem) if problem.is_of_client() => return Ok(form(&app, &headers, None, Some(problem))),
        Err(problem) => return Err(problem),
    };
    let next = login.next.as_deref().and_then(Next::of);
    let role = match app.settings().tokens.rights(login.token.trim()) {
        Rights { admin: true, .. } => Role::Admin,
        Rights { read: true, .. } => Role::Reader,
        _ => {
            let attempt = limits::enforce(&app.limiters().auth, &format!("{client}|operations")).await;
            let problem = match attempt {
                Ok(_) => Problem::new(StatusCode::UNAUTHORIZED, "unauthorized", "Unknown token."),
                Err(problem) if problem.is_of_client() => problem,
                Err(problem) => return Err(problem),
            };
            return Ok(form(&app, &headers, next.as_ref(), Some(problem)));
        }
    };
    let cookie = dashboard_session::begin(app.pages_key(), role, &headers);
    Ok(([(header::SET_COOKIE, cookie)], Redirect::to(onward(next.as_ref()))).into_response())
}

fn onward(next: Option<&Next>) -> &str {
    next.map_or(Here::Overview.path(), |Next(path)| path)
}

/// Ends the session in this browser.
pub(super) async fn end(headers: HeaderMap, Form(_): Form<Logout>) -> Response {
    ([(header::SET_COOKIE, dashboard_session::end(&headers))], Redirect::to(LOGIN)).into_response()
}

/// `refused` is the reason why the login failed.
fn form(app: &App, headers: &HeaderMap, next: Option<&Next>, refused: Option<Problem>) -> Response {
    let form = FormToken::of(app.pages_key(), headers);
    let mut response = plain(
        StatusCode::OK,
        "Log in",
        &html! {},
        &html! {
            @if let Some(problem) = &refused { p.flash role="alert" { (problem.detail()) } }
            p.note { "Use the token of TIDEGATE_ADMIN_TOKEN, or of TIDEGATE_READ_TOKEN for read-only access. A session lasts twelve hours." }
            form method="post" action=(LOGIN) {
                input type="hidden" name="form" value=(form.field());
                @if let Some(Next(path)) = next { input type="hidden" name="next" value=(path); }
                div.field {
                    label for="token" { "Token" }
                    input #token type="password" name="token" autocomplete="current-password" required autofocus;
                }
                button.main { "Log in" }
            }
        },
    );
    form.bind(&mut response);
    match refused {
        Some(problem) => shown(problem.clone().into_response(), problem, response),
        None => response,
    }
}
