//! Imports: every line is accounted for exactly once, whichever process is killed.

mod bounds;
mod bucket;
mod hostile;

use std::path::Path;
use std::time::Duration;

use reqwest::{Body, Method, Response, StatusCode};
use serde_json::{Value, json};
use tidegate_testkit::poll_until;

use crate::harness::{Api, DEADLINE, csv, good_titles, problem, success_json};

/// The reason for the bad lines of [`csv`].
const NO_TIME: &str = "starts_at: is not an RFC 3339 time with an offset, such as 2026-03-01T09:00:00Z";

#[tokio::test]
pub(crate) async fn ten_thousand_lines_arrive_and_each_bad_one_is_named() {
    // The first and the last line, neighbours on both sides of a chunk's border, some in between.
    let bad = [1, 7, 499, 500, 501, 4_444, 9_999, 10_000];
    let api = Api::start_with(&[("TIDEGATE_IMPORT", "pause=50ms")]).await;
    api.create_tenant("acme", "enterprise").await;

    let answer = upload(&api, "acme", "text/csv", csv(10_000, &bad)).await;
    assert_eq!(answer.status(), StatusCode::ACCEPTED);
    let location = answer.headers()["location"].to_str().expect("text").to_owned();
    let accepted: Value = answer.json().await.expect("JSON");
    let id = accepted["job_id"].as_str().expect("a job id");
    assert_eq!(location, format!("/api/schedules/import/{id}"));

    let seen = progress_until_done(&api, id).await;
    assert!(seen.len() >= 4, "progress is to be seen while it runs: {seen:?}");
    assert!(seen.is_sorted(), "progress never goes back: {seen:?}");
    assert_eq!(seen.last(), Some(&Progress { percent: 100, imported: 9_992, rejected: 8 }));

    let job = api.job(id).await;
    assert_eq!(job["result"], result(9_992, 8, &rejects_of(&bad)));
    assert_eq!((&job["deliveries"], &job["failures"]), (&json!(1), &json!(0)));
    assert_eq!(job["attempts"].as_array().map(Vec::len), Some(1), "{job}");
    let seen_by_tenant = json!({
        "id": id,
        "state": "done",
        "progress": job["progress"],
        "created_at": job["created_at"],
        "finished_at": job["finished_at"],
        "result": job["result"],
        "reason": null,
    });
    assert_eq!(success_json(api.get_as("acme", &location)).await, seen_by_tenant, "no attempts, no workers");

    assert_eq!(rejects_file(&api, "acme", id).await, rejects_of(&bad));
    assert_eq!(api.titles("acme").await, good_titles(10_000, &bad));
    assert_eq!(files_in(&api.scratch.join("spool")), 0, "the upload is gone when the import is done");
}

#[tokio::test]
pub(crate) async fn an_import_killed_again_and_again_goes_on_where_it_stood() {
    let bad = [1, 2_500, 2_501, 5_001, 10_000];
    // Longer than a busy disk blocks a worker: only the killed worker must lose its lease.
    let settings = [("TIDEGATE_IMPORT", "pause=150ms"), ("TIDEGATE_QUEUE_LEASE", "6s")];
    let mut api = Api::start_with(&settings).await;
    api.create_tenant("acme", "enterprise").await;
    let id = api.import_csv("acme", csv(10_000, &bad)).await;

    let mut killed = Vec::new();
    let mut before = Progress::default();
    for (delivery, percent) in [(1, 10), (2, 40), (3, 70)] {
        let first = api.job_when(&id, |job| job["deliveries"] == delivery && job["progress"].is_object()).await;
        assert!(Progress::of(&first) >= before, "{first} begins before the {before:?} that was committed");
        let job = api.job_when(&id, |job| Progress::of(job).percent >= percent).await;
        assert_eq!((&job["state"], &job["deliveries"]), (&json!("leased"), &json!(delivery)), "{job}");
        before = Progress::of(&job);
        killed.push(worker_inside(&api).await);
        api.kill_and_restart().await;
    }

    let job = api.job_in_state(&id, "done").await;
    assert_eq!(job["result"], result(9_995, 5, &rejects_of(&bad)));
    // Each kill lost a lease and nothing else, and the last run came to the end.
    let attempts = job["attempts"].as_array().expect("attempts");
    let errors: Vec<_> = attempts.iter().map(|attempt| attempt["error"].clone()).collect();
    let mut expected: Vec<_> = killed.iter().map(|worker| json!(format!("lease expired at worker {worker}"))).collect();
    expected.push(Value::Null);
    assert_eq!(errors, expected);
    assert_eq!((&job["deliveries"], &job["failures"]), (&json!(4), &json!(0)));
    let queue = api.json("/api/queue/import").await;
    let totals =
        ["completed_total", "failed_total", "retried_total", "reclaimed_total"].map(|name| queue[name].clone());
    assert_eq!(totals, [1, 0, 0, 3].map(|count| json!(count)));

    assert_eq!(rejects_file(&api, "acme", &id).await, rejects_of(&bad));
    assert_eq!(api.titles("acme").await, good_titles(10_000, &bad));
}

#[tokio::test]
pub(crate) async fn an_accepted_import_outlives_a_kill_in_the_moment_of_its_answer() {
    let bad = [3];
    let mut api = Api::start_with(&[("TIDEGATE_QUEUE_LEASE", "3s")]).await;
    api.create_tenant("acme", "enterprise").await;
    let id = api.import_csv("acme", csv(2_000, &bad)).await;
    api.kill_and_restart().await;

    let job = api.job_in_state(&id, "done").await;
    assert_eq!(job["result"], result(1_999, 1, &rejects_of(&bad)));
    assert_eq!(rejects_file(&api, "acme", &id).await, rejects_of(&bad));
    assert_eq!(api.titles("acme").await, good_titles(2_000, &bad));
}

#[tokio::test]
pub(crate) async fn an_ndjson_import_goes_on_after_a_kill() {
    let settings = [("TIDEGATE_IMPORT", "chunk=10, pause=100ms"), ("TIDEGATE_QUEUE_LEASE", "3s")];
    let mut api = Api::start_with(&settings).await;
    api.create_tenant("acme", "enterprise").await;
    let (file, good, bad) = ndjson(300);
    let answer = upload(&api, "acme", "application/x-ndjson", file).await;
    assert_eq!(answer.status(), StatusCode::ACCEPTED);
    let id = job_id(answer).await;

    api.job_when(&id, |job| Progress::of(job).percent >= 30).await;
    api.kill_and_restart().await;

    let job = api.job_in_state(&id, "done").await;
    assert_eq!(job["result"], result(good.len(), bad.len(), &bad));
    assert_eq!(job["deliveries"], 2);
    assert_eq!(rejects_file(&api, "acme", &id).await, bad);
    assert_eq!(api.titles("acme").await, good);
}

#[tokio::test]
async fn the_result_holds_a_thousand_bad_lines_and_the_file_all() {
    let bad: Vec<usize> = (1..=1_200).collect();
    let api = Api::start().await;
    api.create_tenant("acme", "enterprise").await;
    let id = api.import_csv("acme", csv(1_201, &bad)).await;

    let job = api.job_in_state(&id, "done").await;
    let mut expected = result(1, 1_200, &rejects_of(&bad)[..1_000]);
    expected["rejects_truncated"] = json!(true);
    assert_eq!(job["result"], expected);
    assert_eq!(rejects_file(&api, "acme", &id).await, rejects_of(&bad));
}

#[tokio::test]
pub(crate) async fn another_tenant_sees_nothing_of_an_import() {
    let api = Api::start().await;
    api.create_tenant("acme", "premium").await;
    api.create_tenant("globex", "premium").await;
    let id = api.import_csv("acme", csv(20, &[4])).await;
    api.job_in_state(&id, "done").await;

    for path in [format!("/api/schedules/import/{id}"), format!("/api/schedules/import/{id}/rejects")] {
        let foreign = api.get_as("globex", &path).send().await.expect("an answer");
        let foreign = problem(foreign, 404, "not-found").await;
        let unknown = api.get_as("acme", &path.replace(&id, "no-such-import")).send().await.expect("an answer");
        let unknown = problem(unknown, 404, "not-found").await;
        // It answers as if there were no such thing.
        let detail = unknown["detail"].as_str().map(|text| text.replace("no-such-import", &id));
        assert_eq!(foreign["detail"].as_str(), detail.as_deref());
        assert!(api.get_as("acme", &path).send().await.expect("an answer").status().is_success());
    }

    assert!(api.titles("globex").await.is_empty());
    let page = success_json(api.get_as("acme", "/api/schedules")).await;
    let schedule = page["items"][0]["id"].as_str().expect("a schedule");
    let path = format!("/api/schedules/{schedule}");
    problem(api.get_as("globex", &path).send().await.expect("an answer"), 404, "not-found").await;
    let delete = api.request(Method::DELETE, &path).header("x-tenant-id", "globex");
    problem(delete.send().await.expect("an answer"), 404, "not-found").await;
    assert_eq!(api.titles("acme").await, good_titles(20, &[4]));
}

#[tokio::test]
pub(crate) async fn a_stopped_api_gives_its_import_back_and_goes_on_after_the_restart() {
    let bad = [10, 4_000];
    // A lease too long to wait for: only a job that was released can be taken again.
    let settings =
        [("TIDEGATE_IMPORT", "pause=200ms"), ("TIDEGATE_QUEUE_LEASE", "30m"), ("TIDEGATE_QUEUE_GRACE", "100ms")];
    let mut api = Api::start_with(&settings).await;
    api.create_tenant("acme", "enterprise").await;
    let id = api.import_csv("acme", csv(5_000, &bad)).await;
    let before = api.job_when(&id, |job| Progress::of(job).percent >= 20).await;
    assert_eq!(before["state"], "leased");

    let status = api.process.stop().await.expect("it ends");
    assert_eq!(status.code(), Some(0));
    let onlooker = api.start_beside(&[("TIDEGATE_WORKER", "none")]).await;
    let released = onlooker.job(&id).await;
    assert_eq!((&released["state"], &released["deliveries"]), (&json!("ready"), &json!(1)));
    assert_eq!(released["attempts"], json!([]), "a release is no attempt");

    api.restart().await;
    let job = api.job_in_state(&id, "done").await;
    assert_eq!(job["result"], result(4_998, 2, &rejects_of(&bad)));
    assert_eq!((&job["deliveries"], &job["failures"]), (&json!(2), &json!(0)));
    assert_eq!(job["attempts"].as_array().map(Vec::len), Some(1), "{job}");
    assert_eq!(rejects_file(&api, "acme", &id).await, rejects_of(&bad));
    assert_eq!(api.titles("acme").await, good_titles(5_000, &bad));
}

#[tokio::test]
pub(crate) async fn a_stopped_api_finishes_an_import_within_its_grace() {
    let settings = [("TIDEGATE_IMPORT", "chunk=50, pause=50ms"), ("TIDEGATE_QUEUE_GRACE", "5m")];
    let mut api = Api::start_with(&settings).await;
    api.create_tenant("acme", "enterprise").await;
    let id = api.import_csv("acme", csv(1_000, &[])).await;
    let before = api.job_when(&id, |job| Progress::of(job).percent >= 10).await;
    assert_eq!(before["state"], "leased");

    let status = api.process.stop().await.expect("it ends");
    assert_eq!(status.code(), Some(0));
    let onlooker = api.start_beside(&[("TIDEGATE_WORKER", "none")]).await;
    let job = onlooker.job(&id).await;
    assert_eq!((&job["state"], &job["deliveries"]), (&json!("done"), &json!(1)));
    assert_eq!(job["result"], result(1_000, 0, &[]));
    assert_eq!(onlooker.titles("acme").await, good_titles(1_000, &[]));
}

/// A refused line: its number in the file and why.
type Reject = (u64, String);

/// The progress of a running import.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Progress {
    percent: u64,
    imported: u64,
    rejected: u64,
}

impl Progress {
    /// The progress of a job, all zero before the first.
    fn of(job: &Value) -> Self {
        let Some(message) = job["progress"]["message"].as_str() else { return Self::default() };
        let (imported, rejected) = message.split_once(", ").expect("two counts");
        let count = |text: &str, unit| text.strip_suffix(unit).and_then(|count| count.parse().ok()).expect("a count");
        Self {
            percent: job["progress"]["percent"].as_u64().expect("a number"),
            imported: count(imported, " imported"),
            rejected: count(rejected, " rejected"),
        }
    }
}

async fn upload(api: &Api, tenant: &str, content_type: &str, file: impl Into<Body>) -> Response {
    let request = api.request(Method::POST, "/api/schedules/import");
    let request = request.header("x-tenant-id", tenant).header("content-type", content_type);
    request.body(file).send().await.expect("an answer")
}

async fn job_id(answer: Response) -> String {
    let accepted: Value = answer.json().await.expect("JSON");
    accepted["job_id"].as_str().expect("a job id").to_owned()
}

/// Every progress that was to be seen until the job was done, in the order in which it was.
async fn progress_until_done(api: &Api, id: &str) -> Vec<Progress> {
    let mut seen = Vec::new();
    let done = poll_until(DEADLINE, async || {
        let job = api.job(id).await;
        seen.push(Progress::of(&job));
        (job["state"] == "done").then_some(())
    });
    done.await.expect("the import is done");
    seen.dedup();
    seen
}

/// The id of the worker inside the API's process.
async fn worker_inside(api: &Api) -> String {
    let pid = api.process.pid().expect("it runs");
    let found = poll_until(Duration::from_secs(10), async || {
        let queue = api.json("/api/queue/import").await;
        let workers = queue["workers"].as_array().expect("workers");
        let worker = workers.iter().find(|worker| worker["pid"] == pid)?;
        Some(worker["id"].as_str().expect("an id").to_owned())
    });
    found.await.expect("the worker announces itself")
}

/// The lines of the rejects file.
async fn rejects_file(api: &Api, tenant: &str, id: &str) -> Vec<Reject> {
    let answer = api.get_as(tenant, &format!("/api/schedules/import/{id}/rejects")).send().await.expect("an answer");
    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!(answer.headers()["content-type"], "text/csv; charset=utf-8");
    let text = answer.text().await.expect("text");
    let mut lines = text.lines();
    assert_eq!(lines.next(), Some("line,reason"));
    lines.map(reject_of).collect()
}

fn reject_of(line: &str) -> Reject {
    let (number, reason) = line.split_once(',').expect("two columns");
    let quoted = reason.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).expect("a quoted reason");
    (number.parse().expect("a number"), quoted.replace("\"\"", "\""))
}

/// The rejects of the bad lines of a [`csv`], whose header is line 1 of the file.
fn rejects_of(bad: &[usize]) -> Vec<Reject> {
    bad.iter().map(|line| (*line as u64 + 1, NO_TIME.to_owned())).collect()
}

/// The result of a finished import.
fn result(imported: usize, rejected: usize, rejects: &[Reject]) -> Value {
    let rejects: Vec<_> = rejects.iter().map(|(line, reason)| json!({"line": line, "reason": reason})).collect();
    json!({
        "lines": imported + rejected,
        "imported": imported,
        "rejected": rejected,
        "rejects": rejects,
        "rejects_truncated": false,
    })
}

/// An NDJSON file with that many lines, every seventh bad. Also its titles, sorted, and its bad
/// lines.
fn ndjson(lines: u64) -> (String, Vec<String>, Vec<Reject>) {
    let (mut file, mut good, mut bad) = (String::new(), Vec::new(), Vec::new());
    for line in 1..=lines {
        let title = format!("schedule {line}");
        let starts_at = if line % 7 == 0 { "not a time" } else { "2030-01-01T10:00:00Z" };
        let row =
            json!({"title": title, "starts_at": starts_at, "ends_at": "2030-01-01T11:00:00Z", "attendees": ["Bob"]});
        file.push_str(&format!("{row}\n"));
        if line % 7 == 0 {
            bad.push((line, NO_TIME.to_owned()));
        } else {
            good.push(title);
        }
    }
    good.sort_unstable();
    (file, good, bad)
}

fn files_in(directory: &Path) -> usize {
    directory.read_dir().expect("a directory").count()
}
