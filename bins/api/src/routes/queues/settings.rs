//! `/api/queue/{queue}/settings`: settings for all workers of a queue.

use std::time::Duration;

use axum::extract::State;
use serde::Deserialize;
use tidegate_queue::{QueueSettings, Rate};

use super::known;
use tidegate_web::app::App;
use tidegate_web::json::Json;
use tidegate_web::object::Object;
use tidegate_web::path::Path;
use tidegate_web::problem::Problem;

pub(super) async fn show(
    State(app): State<App>,
    Path(queue): Path<String>,
) -> Result<axum::Json<QueueSettings>, Problem> {
    Ok(axum::Json(app.node().broker.settings(known(&queue)?).await?))
}

/// Numbers are wider than their range, so that a number out of range has its own error.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NewSettings {
    max_running: Option<i64>,
    rate: Option<Object<NewRate>>,
    #[serde(default)]
    events: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct NewRate {
    jobs: i64,
    per_ms: i64,
}

impl NewSettings {
    fn check(self) -> Result<QueueSettings, Problem> {
        let bad = |detail: &str| Problem::unprocessable("bad-settings", detail);
        let at_least_one = |number: i64| u32::try_from(number).ok().filter(|number| *number > 0);
        let max_running = self.max_running.map(|number| {
            at_least_one(number)
                .ok_or_else(|| bad("`max_running` is a number from 1 to 4294967295; to run nothing, pause the queue"))
        });
        let rate = self.rate.map(|Object(NewRate { jobs, per_ms })| {
            let rate = at_least_one(jobs).zip(u64::try_from(per_ms).ok());
            let rate = rate.and_then(|(jobs, per)| Rate::new(jobs, Duration::from_millis(per)).ok());
            rate.ok_or_else(|| bad("`rate`: `jobs` is a number from 1 on, `per_ms` one from 1 to 86400000"))
        });
        Ok(QueueSettings { max_running: max_running.transpose()?, rate: rate.transpose()?, events: self.events })
    }
}

/// Replaces all settings. A setting that is not named gets its default.
pub(super) async fn replace(
    State(app): State<App>,
    Path(queue): Path<String>,
    Json(new): Json<NewSettings>,
) -> Result<axum::Json<QueueSettings>, Problem> {
    let queue = known(&queue)?;
    let settings = new.check()?;
    app.node().broker.configure(queue, settings.clone()).await?;
    Ok(axum::Json(settings))
}
