//! Queues, one queue and one job: read and changed without JavaScript.

use reqwest::Method;
use serde_json::{Value, json};
use tidegate_testkit::poll_until;

use super::{Visit, act, act_when_asked, page};
use crate::harness::{Api, DEADLINE, success_json};
use crate::start::{ADMIN, READ, TOKENS};

pub(super) const QUEUES: &str = "/dashboard/queues";
pub(super) const QUEUE: &str = "/dashboard/queues/import";
const JOBS: &str = "/api/queue/import/jobs";

/// Must be shown as text and never run.
const HOSTILE: &str = "<script>alert(1)</script>\u{202e}gnp.exe";

async fn start() -> Api {
    Api::start_with(&[("TIDEGATE_WORKER", "none")]).await
}

/// Enqueues a job with the admin token, where there is one.
pub(super) async fn enqueue(api: &Api, body: Value) -> String {
    let request = api.request(Method::POST, JOBS).bearer_auth(ADMIN).json(&body);
    success_json(request).await["id"].as_str().expect("an id").to_owned()
}

/// A job that stays where it is put.
fn job(id: &str) -> Value {
    json!({"id": id, "kind": "test/quiet", "payload": {"n": 1}})
}

fn delayed(id: &str) -> Value {
    json!({"id": id, "kind": "test/later", "payload": {}, "delay_ms": 3_600_000})
}

async fn state(api: &Api, id: &str) -> String {
    let job = success_json(api.request(Method::GET, &format!("{JOBS}/{id}")).bearer_auth(ADMIN)).await;
    job["state"].as_str().expect("a state").to_owned()
}

/// Three that are dead of what they were given, and a queue that is paused.
pub(super) async fn with_dead_jobs(api: &Api) {
    for n in 0..3 {
        enqueue(api, json!({"id": format!("broken-{n}"), "payload": n})).await;
    }
    let dead = poll_until(DEADLINE, async || {
        let queue = success_json(api.request(Method::GET, "/api/queue/import").bearer_auth(ADMIN)).await;
        (queue["dead"] == 3).then_some(())
    });
    assert!(dead.await.is_ok(), "they don't die");
    success_json(api.request(Method::POST, "/api/queue/import/pause").bearer_auth(ADMIN)).await;
}

#[tokio::test]
async fn queues_read_without_javascript() {
    let api = Api::start_with(&[("TIDEGATE_WORKER", "inner")]).await;
    with_dead_jobs(&api).await;
    enqueue(&api, job("waits-here")).await;
    let mut visit = Visit::new(&api);
    let queues = page(&mut visit, QUEUES).await;
    for part in ["<h1>Queues</h1>", ">paused<", "Oldest", "Workers", ">import</a>", "data-state=\"bad\">3<"] {
        assert!(queues.contains(part), "{part}: {queues}");
    }
    assert!(queues.contains("data-label=\"Process\">"), "the worker within: {queues}");

    let ready = page(&mut visit, QUEUE).await;
    assert!(ready.contains("waits-here") && ready.contains("test/quiet") && !ready.contains("broken-0"), "{ready}");
    let dead = page(&mut visit, &format!("{QUEUE}?state=dead")).await;
    assert!(dead.contains("broken-0") && !dead.contains("waits-here"), "{dead}");
    assert!(dead.contains("href=\"/dashboard/queues/import/jobs/broken-1\""), "{dead}");

    let one = page(&mut visit, &format!("{QUEUE}/jobs/broken-1")).await;
    for part in
        [">Status</h2>", ">dead<", "Runs", "<pre>", "Log", "Payload", "aria-label=\"Payload\">1</pre>", ">Retry<"]
    {
        assert!(one.contains(part), "{part}: {one}");
    }
    for (path, status) in [
        ("/dashboard/queues/nothing", 404),
        ("/dashboard/queues/import?state=odd", 422),
        ("/dashboard/queues/import?colour=red", 400),
        ("/dashboard/queues/import?cursor=x", 422),
        ("/dashboard/queues/import/jobs/nothing", 404),
        ("/dashboard/queues/import/jobs/%3Cscript%3E", 404),
    ] {
        let answer = visit.get(path).await;
        assert_eq!(answer.status(), status, "{path}");
        let text = answer.text().await.unwrap();
        assert!(text.contains("<h1>") && !text.contains("<script>alert"), "{text}");
    }
    let moved = visit.get("/api-test/queue").await;
    assert_eq!((moved.status().as_u16(), super::location(&moved).as_str()), (308, QUEUES));
}

#[tokio::test]
async fn a_long_list_is_read_page_by_page_and_searched() {
    let api = start().await;
    let jobs: Vec<_> = (0..120).map(|n| json!({"id": format!("many-{n:03}"), "kind": "test", "payload": n})).collect();
    let bulk = api.request(Method::POST, &format!("{JOBS}/bulk")).json(&json!({"jobs": jobs}));
    success_json(bulk).await;
    enqueue(&api, json!({"id": "needle", "kind": "odd/kind", "payload": 1})).await;
    let mut visit = Visit::new(&api);
    let (mut path, mut seen) = (QUEUE.to_owned(), Vec::new());
    loop {
        let text = page(&mut visit, &path).await;
        let ids = text.split("name=\"id\" value=\"").skip(1).map(|rest| rest.split('"').next().unwrap().to_owned());
        seen.extend(ids);
        let Some((before, _)) = text.split_once("\" rel=\"next\"") else { break };
        path = before.rsplit_once("href=\"").expect("an address").1.replace("&amp;", "&");
    }
    seen.sort_unstable();
    seen.dedup();
    assert_eq!(seen.len(), 121, "{seen:?}");

    let ready = page(&mut visit, QUEUE).await;
    let found = visit.get(&format!("{QUEUE}?q=needle")).await;
    assert_eq!(
        (found.status().as_u16(), super::location(&found).as_str()),
        (303, "/dashboard/queues/import/jobs/needle")
    );
    let found = page(&mut visit, &format!("{QUEUE}?q=odd%2F")).await;
    assert!(found.contains("needle") && !found.contains("many-000"), "{found}");
    assert!(
        found.contains("data-still") && !ready.contains("data-still"),
        "what is searched is not searched every few seconds"
    );
    let none = page(&mut visit, &format!("{QUEUE}?q=%3Cscript%3E")).await;
    assert!(none.contains("No job found") && !none.contains("<script>\""), "{none}");
}

#[tokio::test]
async fn a_queue_is_paused_drained_revived_and_cleaned() {
    let api = Api::start_with(&[("TIDEGATE_WORKER", "inner")]).await;
    with_dead_jobs(&api).await;
    let mut visit = Visit::new(&api);
    let shown = act(&mut visit, QUEUES, &format!("{QUEUE}/resume"), &[]).await;
    assert!(shown.contains("<h1>Queues</h1>") && shown.contains("Queue resumed"), "{shown}");
    assert_eq!(api.json("/api/queue/import").await["paused"], false);
    let shown = act(&mut visit, QUEUE, &format!("{QUEUE}/pause"), &[("back", "queue")]).await;
    assert!(shown.contains("> / </span>import</h1>") && shown.contains("Queue paused"), "{shown}");
    assert_eq!(api.json("/api/queue/import").await["paused"], true);

    let shown = act_when_asked(&mut visit, QUEUE, &format!("{QUEUE}/retry-dead"), &[]).await;
    assert!(shown.contains("Made 3 dead jobs ready"), "{shown}");
    assert_eq!(api.json("/api/queue/import").await["ready"], 3);
    enqueue(&api, delayed("later")).await;
    let shown = act_when_asked(&mut visit, QUEUE, &format!("{QUEUE}/drain"), &[]).await;
    assert!(shown.contains("Cancelled 4 jobs"), "{shown}");
    assert_eq!(api.json("/api/queue/import").await["cancelled"], 4);

    let clean = format!("{QUEUE}/clean");
    let shown = act_when_asked(&mut visit, QUEUE, &clean, &[("state", "cancelled"), ("hours", "1")]).await;
    assert!(shown.contains("Deleted 0 finished jobs"), "{shown}");
    let cleaned = poll_until(DEADLINE, async || {
        // What ended within this very millisecond is not older than no time at all.
        act_when_asked(&mut visit, QUEUE, &clean, &[("state", "cancelled"), ("hours", "0")]).await;
        (api.json("/api/queue/import").await["cancelled"] == 0).then_some(())
    });
    assert!(cleaned.await.is_ok());
    let form = visit.form(QUEUE).await;
    for fields in [[("state", "ready"), ("hours", "1")], [("state", "done"), ("hours", "-1")]] {
        let fields: Vec<_> = fields.into_iter().chain([("form", form.as_str()), ("sure", "yes")]).collect();
        assert_eq!(visit.post(&clean, &fields, &[]).await.status(), 422);
    }
}

#[tokio::test]
async fn selected_jobs_are_changed_one_by_one_and_failures_are_shown() {
    let api = start().await;
    for id in ["a", "b", "c"] {
        enqueue(&api, delayed(id)).await;
    }
    let mut visit = Visit::new(&api);
    let (from, bulk) = (format!("{QUEUE}?state=delayed"), format!("{QUEUE}/bulk"));
    let ticked = |act: &'static str, ids: &[&'static str]| {
        let ids = ids.iter().map(|id| ("id", *id));
        [("act", act), ("state", "delayed")].into_iter().chain(ids).collect::<Vec<_>>()
    };
    let shown = act_when_asked(&mut visit, &from, &bulk, &ticked("promote", &["a", "b"])).await;
    assert!(shown.contains("Made 2 of the selected jobs ready") && !shown.contains("are unchanged"), "{shown}");
    assert_eq!([state(&api, "a").await, state(&api, "b").await, state(&api, "c").await], ["ready", "ready", "delayed"]);
    let shown = act_when_asked(&mut visit, &from, &bulk, &ticked("promote", &["a", "c", "gone"])).await;
    assert!(shown.contains("Made 1 of the selected jobs ready") && shown.contains("2 are unchanged"), "{shown}");
    let from = format!("{QUEUE}?state=ready");
    let shown = act_when_asked(&mut visit, &from, &bulk, &ticked("cancel", &["a", "b"])).await;
    assert!(shown.contains("Cancelled 2 of the selected jobs"), "{shown}");
    let shown = act_when_asked(&mut visit, &from, &bulk, &ticked("retry", &["a"])).await;
    assert!(shown.contains("Made 1 of the selected jobs ready"), "{shown}");
    assert_eq!(
        [state(&api, "a").await, state(&api, "b").await, state(&api, "c").await],
        ["ready", "cancelled", "ready"]
    );
    let shown = act(&mut visit, &from, &bulk, &ticked("retry", &[])).await;
    assert!(shown.contains("No job was selected"), "{shown}");

    let form = visit.form(&from).await;
    let many: Vec<_> = std::iter::repeat_n(("id", "a"), 201).collect();
    let wrong: [Vec<(&str, &str)>; 4] = [
        [ticked("cancel", &["a"]), vec![("colour", "red")]].concat(),
        ticked("explode", &["a"]),
        [ticked("cancel", &["a"]), vec![("act", "cancel")]].concat(),
        [ticked("cancel", &[]), many].concat(),
    ];
    for fields in wrong {
        let fields: Vec<_> = fields.into_iter().chain([("form", form.as_str()), ("sure", "yes")]).collect();
        assert_eq!(visit.post(&bulk, &fields, &[]).await.status(), 422, "{fields:?}");
    }
    assert_eq!(state(&api, "a").await, "ready");
    // As many of the longest ids as may be ticked are a form that is read.
    let long = "x".repeat(128);
    let all: Vec<_> = std::iter::repeat_n(("id", long.as_str()), 200).collect();
    let fields: Vec<_> = [ticked("cancel", &[]), all, vec![("form", form.as_str()), ("sure", "yes")]].concat();
    assert_eq!(visit.post(&bulk, &fields, &[]).await.status(), 303);
}

#[tokio::test]
async fn one_job_is_promoted_cancelled_and_tried_again() {
    let api = start().await;
    enqueue(&api, delayed("one")).await;
    let mut visit = Visit::new(&api);
    let path = format!("{QUEUE}/jobs/one");
    let shown = act(&mut visit, &path, &format!("{path}/promote"), &[]).await;
    assert!(shown.contains("ready, before it is due"), "{shown}");
    assert_eq!(state(&api, "one").await, "ready");
    let shown = act_when_asked(&mut visit, &path, &format!("{path}/cancel"), &[]).await;
    assert!(shown.contains("Job cancelled."), "{shown}");
    assert_eq!(state(&api, "one").await, "cancelled");
    let form = visit.form(&path).await;
    let refused = visit.post(&format!("{path}/promote"), &[("form", &form)], &[]).await;
    assert_eq!(refused.status(), 409);
    assert!(refused.text().await.unwrap().contains("can't be promoted"));
    let shown = act(&mut visit, &path, &format!("{path}/retry"), &[]).await;
    assert!(shown.contains("ready again"), "{shown}");
    assert_eq!(state(&api, "one").await, "ready");
}

#[tokio::test]
async fn a_payload_is_for_admins_and_shows_no_secret() {
    let api = Api::start_with(&[&TOKENS[..], &[("TIDEGATE_WORKER", "none")]].concat()).await;
    let payload = json!({"password": "hunter2", "note": "call https://ada:hunter2@db.example/", "title": HOSTILE, "long": "y".repeat(10_000)});
    let id = enqueue(&api, json!({"kind": "test", "payload": payload, "unique_key": HOSTILE})).await;
    let path = format!("{QUEUE}/jobs/{id}");
    let mut admin = Visit::new(&api);
    admin.log_in(ADMIN).await;
    let shown = page(&mut admin, &path).await;
    assert!(shown.contains("Payload") && shown.contains("****") && !shown.contains("hunter2"), "{shown}");
    assert!(
        shown.contains("&lt;script&gt;") && !shown.contains("<script>alert") && !shown.contains('\u{202e}'),
        "{shown}"
    );
    let mut reader = Visit::new(&api);
    reader.log_in(READ).await;
    let shown = page(&mut reader, &path).await;
    assert!(shown.contains(">Status</h2>") && !shown.contains("Payload") && !shown.contains("yyyy"), "{shown}");
}
