//! `/api/tenants/{id}/keys`: keys, which are shown once, listed by name, and revoked.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;
use serde_json::{Value, json};
use tidegate_model::tenant::ApiKey;
use uuid::Uuid;

use tidegate_web::answer::created_with_key;
use tidegate_web::app::App;
use tidegate_web::json::Json;
use tidegate_web::manager::Manager;
use tidegate_web::path::Path;
use tidegate_web::problem::Problem;

const MAX_NAME: usize = 100;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NewKey {
    name: String,
}

pub(super) async fn create(
    State(app): State<App>,
    manager: Manager,
    Json(new): Json<NewKey>,
) -> Result<Response, Problem> {
    let tenant = manager.manages()?;
    let name = new.name.trim();
    if name.is_empty() || name.chars().count() > MAX_NAME || name.chars().any(char::is_control) {
        let detail = format!("`name` is 1 to {MAX_NAME} characters, none of them a control character");
        return Err(Problem::unprocessable("bad-name", detail));
    }
    let key = ApiKey::generate();
    let made = app.node().store.create_key(tenant, &key, name.to_owned()).await?;
    let made = made.ok_or_else(|| Problem::not_found(format!("there is no tenant `{tenant}`")))?;
    let location = format!("/api/tenants/{tenant}/keys/{}", made.id);
    Ok(created_with_key(json!(made), &key, location))
}

pub(super) async fn list(State(app): State<App>, manager: Manager) -> Result<axum::Json<Value>, Problem> {
    let keys = app.node().store.keys(manager.manages()?).await?;
    Ok(axum::Json(json!({ "items": keys, "next_cursor": null })))
}

pub(super) async fn revoke(
    State(app): State<App>,
    manager: Manager,
    Path((_, id)): Path<(String, String)>,
) -> Result<StatusCode, Problem> {
    let tenant = manager.manages()?;
    let missing = || Problem::not_found(format!("there is no key `{id}`"));
    let key = Uuid::try_parse(&id).map_err(|_| missing())?;
    let was_there = app.node().store.revoke_key(tenant, key).await?;
    if was_there { Ok(StatusCode::NO_CONTENT) } else { Err(missing()) }
}
