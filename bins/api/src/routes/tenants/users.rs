//! `/api/tenants/{id}/users`: users that can log in.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;
use tidegate_domain::password::StoredPassword;
use tidegate_model::user::{self, Email, User};
use tidegate_store::UserPage;
use uuid::Uuid;

use tidegate_web::answer::created;
use tidegate_web::app::App;
use tidegate_web::json::Json;
use tidegate_web::limits;
use tidegate_web::manager::Manager;
use tidegate_web::page::PageQuery;
use tidegate_web::path::Path;
use tidegate_web::problem::Problem;
use tidegate_web::query::Query;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NewUser {
    email: String,
    name: String,
    password: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NewPassword {
    password: String,
    /// The current password, which a user has to know.
    #[serde(default)]
    current: Option<String>,
}

pub(super) async fn create(
    State(app): State<App>,
    manager: Manager,
    Json(new): Json<NewUser>,
) -> Result<Response, Problem> {
    let tenant = manager.manages()?;
    let email: Email = new.email.parse()?;
    let name = user::name(&new.name)?;
    let password = app.passwords().hash(user::password(&new.password)?).await?;
    let user = app.node().store.create_user(tenant, email, name, &password).await?;
    let user = user.ok_or_else(|| Problem::not_found(format!("there is no tenant `{tenant}`")))?;
    let location = format!("/api/tenants/{tenant}/users/{}", user.id);
    Ok(created(&user, location))
}

pub(super) async fn list(
    State(app): State<App>,
    manager: Manager,
    Query(query): Query<PageQuery>,
) -> Result<axum::Json<UserPage>, Problem> {
    let tenant = manager.manages()?;
    Ok(axum::Json(app.node().store.users(tenant, query.limit()?, query.after()?).await?))
}

pub(super) async fn show(
    State(app): State<App>,
    manager: Manager,
    Path((_, id)): Path<(String, String)>,
) -> Result<axum::Json<User>, Problem> {
    let user = user_id(&id)?;
    manager.manages_or_is(user)?;
    let user = app.node().store.user(&manager.tenant.id, user).await?.ok_or_else(|| no_user(&id))?;
    Ok(axum::Json(user))
}

pub(super) async fn delete(
    State(app): State<App>,
    manager: Manager,
    Path((_, id)): Path<(String, String)>,
) -> Result<StatusCode, Problem> {
    let tenant = manager.manages()?;
    let was_there = app.node().store.delete_user(tenant, user_id(&id)?).await?;
    if was_there { Ok(StatusCode::NO_CONTENT) } else { Err(no_user(&id)) }
}

/// Sets a password, and ends every session of the user, including this one.
pub(super) async fn set_password(
    State(app): State<App>,
    manager: Manager,
    Path((_, id)): Path<(String, String)>,
    Json(new): Json<NewPassword>,
) -> Result<StatusCode, Problem> {
    let user = user_id(&id)?;
    let is_user = manager.manages_or_is(user)?;
    let password = user::password(&new.password)?;
    let before = if is_user { Some(current(&app, &manager, user, new.current.as_deref()).await?) } else { None };
    let password = app.passwords().hash(password).await?;
    let was_set = app.node().store.set_password(&manager.tenant.id, user, &password, before.as_ref()).await?;
    match (was_set, is_user) {
        (true, _) => Ok(StatusCode::NO_CONTENT),
        (false, true) => Err(Problem::conflict("changed", "the password was changed meanwhile")),
        (false, false) => Err(no_user(&id)),
    }
}

/// Returns the stored password if the user knows it. An open browser is not enough, and gets as
/// many attempts as a login.
async fn current(app: &App, manager: &Manager, user: Uuid, said: Option<&str>) -> Result<StoredPassword, Problem> {
    let wrong = || Problem::forbidden("`current` is not the password of this user");
    let Some(said) = said else {
        return Err(Problem::unprocessable("bad-password", "a user must send the current password as `current`"));
    };
    let auth = &app.limiters().auth;
    let key = format!("user|{user}");
    limits::enforce(auth, &key).await?;
    let store = &app.node().store;
    let found = store.user(&manager.tenant.id, user).await?.ok_or_else(|| no_user(&user.to_string()))?;
    let (_, stored) = store.user_of_email(&manager.tenant.id, &found.email).await?.ok_or_else(wrong)?;
    if !app.passwords().matches(said, Some(&stored)).await? {
        return Err(wrong());
    }
    limits::forgive(auth, &key).await;
    Ok(stored)
}

fn user_id(text: &str) -> Result<Uuid, Problem> {
    Uuid::try_parse(text).map_err(|_| no_user(text))
}

fn no_user(id: &str) -> Problem {
    Problem::not_found(format!("there is no user `{id}`"))
}
