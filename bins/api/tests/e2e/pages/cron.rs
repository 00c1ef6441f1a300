//! Schedules: read and changed without JavaScript.

use reqwest::Method;
use serde_json::json;

use super::{Visit, act, act_when_asked, page};
use crate::harness::{Api, success_json};

const CRON: &str = "/dashboard/cron";

#[tokio::test]
async fn a_schedule_is_paused_resumed_run_and_deleted() {
    let api = Api::start_with(&[("TIDEGATE_WORKER", "none")]).await;
    let nightly = json!({"name": "nightly", "expression": "30 2 * * *", "zone": "Europe/Berlin", "queue": "import", "overlap": "skip"});
    success_json(api.request(Method::POST, "/api/queue/cron").json(&nightly)).await;
    let often = json!({"name": "often", "every_ms": 5_400_000, "queue": "import"});
    success_json(api.request(Method::POST, "/api/queue/cron").json(&often)).await;
    let mut visit = Visit::new(&api);
    let shown = page(&mut visit, CRON).await;
    for part in ["<h1>Cron</h1>", "30 2 * * *", "Europe/Berlin", "every 1 h 30 min", "schedule.import", ", in 1 h"] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    let name = [("name", "nightly")];
    let shown = act(&mut visit, CRON, "/dashboard/cron/pause", &name).await;
    assert!(shown.contains(">paused</span>") && shown.contains("it enqueues no jobs"), "{shown}");
    assert_eq!(api.json("/api/queue/cron/nightly").await["paused"], true);
    let shown = act(&mut visit, CRON, "/dashboard/cron/resume", &name).await;
    assert!(!shown.contains(">paused</span>"), "{shown}");
    act(&mut visit, CRON, "/dashboard/cron/trigger", &name).await;
    assert_eq!(api.json("/api/queue/import").await["ready"], 1);
    let form = visit.form(CRON).await;
    let again = visit.post("/dashboard/cron/trigger", &[name[0], ("form", form.as_str())], &[]).await;
    assert_eq!(again.status(), 409);
    assert!(page(&mut visit, "/dashboard/queues/import").await.contains("<code>nightly</code>"));

    let shown = act_when_asked(&mut visit, CRON, "/dashboard/cron/delete", &name).await;
    assert!(!shown.contains("30 2 * * *") && shown.contains("every 1 h 30 min"), "{shown}");
    for act in ["pause", "delete", "explode"] {
        let fields = [name[0], ("sure", "yes"), ("form", form.as_str())];
        assert_eq!(visit.post(&format!("/dashboard/cron/{act}"), &fields, &[]).await.status(), 404, "{act}");
    }
}
