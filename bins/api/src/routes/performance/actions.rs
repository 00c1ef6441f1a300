//! Changes made on advice: reverting one, and switching them off.

use axum::extract::State;
use serde::Deserialize;
use serde_json::{Value, json};
use tidegate_perfmon::action::RevertError;

use tidegate_web::app::App;
use tidegate_web::json::Json;
use tidegate_web::path::Path;
use tidegate_web::problem::Problem;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::routes) struct Switch {
    enabled: bool,
}

/// Restores the value before a change.
pub(in crate::routes) async fn revert(
    State(app): State<App>,
    Path(id): Path<u64>,
) -> Result<axum::Json<Value>, Problem> {
    let entry = app.node().outlook.revert(id).map_err(|error| refused(&error))?;
    Ok(axum::Json(json!(entry)))
}

/// Switches changes from advice on or off, on this instance until its next start.
pub(in crate::routes) async fn switch(
    State(app): State<App>,
    Json(Switch { enabled }): Json<Switch>,
) -> axum::Json<Value> {
    app.node().outlook.set_enabled(enabled);
    axum::Json(json!({"enabled": enabled}))
}

fn refused(error: &RevertError) -> Problem {
    let kind = match error {
        RevertError::Unknown { .. } => return Problem::not_found(error.to_string()),
        RevertError::NotInForce { .. } => "not-in-force",
        RevertError::Overtaken { .. } => "overtaken",
        _ => "not-reverted",
    };
    Problem::conflict(kind, error.to_string())
}

#[cfg(test)]
mod tests {
    use axum::response::IntoResponse;
    use tidegate_perfmon::action::Refused;

    use super::*;

    #[test]
    fn each_refusal_has_its_status() {
        let told = [
            (RevertError::Unknown { id: 7 }, 404),
            (RevertError::NotInForce { id: 7 }, 409),
            (RevertError::Overtaken { id: 7, now: 3.0 }, 409),
            (RevertError::Refused { id: 7, reason: Refused::new("not now") }, 409),
        ];
        for (error, status) in told {
            assert_eq!(refused(&error).into_response().status(), status, "{error}");
        }
    }
}
