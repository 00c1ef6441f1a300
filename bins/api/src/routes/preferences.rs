//! `/api/preferences/{user}`: a JSON object of the user's own, stored as a whole.

pub(super) mod operations;

use axum::extract::State;
use axum::response::Response;
use serde_json::{Map, Value};
use uuid::Uuid;

use tidegate_web::app::App;
use tidegate_web::caller::Caller;
use tidegate_web::json::Json;
use tidegate_web::path::Path;
use tidegate_web::problem::Problem;
use tidegate_web::representation::{self, IfNoneMatch};

/// Maximum size in bytes, without white space.
const LONGEST: usize = 64 * 1024;

pub(super) async fn show(
    State(app): State<App>,
    caller: Caller,
    known: IfNoneMatch,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let user = user_id(&caller, &id)?;
    let found = app.preferences().get(&caller.tenant.id, user).await?;
    representation::respond(&known, found, || no_user(&id))
}

pub(super) async fn replace(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
    Json(preferences): Json<Map<String, Value>>,
) -> Result<Response, Problem> {
    let user = user_id(&caller, &id)?;
    let body = Value::Object(preferences).to_string();
    if body.len() > LONGEST {
        return Err(Problem::too_large(LONGEST as u64));
    }
    let found = app.preferences().put(&caller.tenant.id, user, body, app.catch_up()).await?;
    representation::respond(&IfNoneMatch::nothing(), found, || no_user(&id))
}

/// A tenant may access all of its users' preferences, a user only its own. Others are reported as
/// not found.
fn user_id(caller: &Caller, text: &str) -> Result<Uuid, Problem> {
    let user = Uuid::try_parse(text).map_err(|_| no_user(text))?;
    let is_its_own = caller.session.as_ref().is_none_or(|session| session.user == user);
    if is_its_own { Ok(user) } else { Err(no_user(text)) }
}

fn no_user(id: &str) -> Problem {
    Problem::not_found(format!("there is no user `{id}`"))
}
