//! Several processes on one data directory: APIs serve no stale data, and workers take over.

mod steps;

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::json;
use tidegate_testkit::poll_until;

use self::steps::{
    API_ALONE, busy_workers, cache_status, create, hang, health_when, imported_so_far, is_hit, is_unserved, items_of,
    put, reason_of_the_queue, reject_lines, round_at, set_plan, start_worker, title_of, two_apis, worker_of_the_import,
};
use crate::harness::{Api, DEADLINE, csv, good_titles, problem, success_json};

/// How long a job stays a dead worker's.
const LEASE: Duration = Duration::from_secs(3);
/// A worker that takes one import at a time and some seconds for a thousand lines.
const SLOW_WORKER: &[(&str, &str)] = &[
    ("TIDEGATE_QUEUE_CONCURRENCY", "import=1"),
    ("TIDEGATE_QUEUE_LEASE", "3s"),
    ("TIDEGATE_IMPORT", "chunk=50, pause=100ms"),
];
/// Changes in one process, each read at once in the other.
const ROUNDS: usize = 200;

#[tokio::test]
pub(crate) async fn two_workers_share_the_imports() {
    let api = Api::start_with(API_ALONE).await;
    let (one, two) = (start_worker(&api, SLOW_WORKER), start_worker(&api, SLOW_WORKER));
    let mut imports = Vec::new();
    for number in 1..=4 {
        let (tenant, lines, bad) = (format!("tenant-{number}"), 1_000 + number, [number, 500 + number]);
        api.create_tenant(&tenant, "enterprise").await;
        let id = api.import_csv(&tenant, csv(lines, &bad)).await;
        imports.push((id, tenant, lines, bad));
    }

    // Each worker runs one at a time, so that two at once are one each.
    let both = poll_until(DEADLINE, async || (busy_workers(&api).await.len() == 2).then_some(()));
    both.await.expect("both workers run an import at the same time");
    let pids: Vec<_> = busy_workers(&api).await.iter().map(|worker| worker["pid"].clone()).collect();
    assert!(pids.iter().all(|pid| [one.pid(), two.pid()].map(|own| json!(own)).contains(pid)), "{pids:?}");

    for (id, tenant, lines, bad) in &imports {
        let job = api.job_in_state(id, "done").await;
        assert_eq!((&job["result"]["imported"], &job["result"]["rejected"]), (&json!(lines - 2), &json!(2)));
        assert_eq!(job["deliveries"], 1);
        assert_eq!(api.titles(tenant).await, good_titles(*lines, bad));
    }
    let queue = api.json("/api/queue/import").await;
    assert_eq!((&queue["completed_total"], &queue["reclaimed_total"]), (&json!(4), &json!(0)));
}

#[tokio::test]
pub(crate) async fn a_killed_worker_is_replaced_by_the_other_within_its_lease() {
    let bad = [1, 999, 2_000];
    let api = Api::start_with(API_ALONE).await;
    api.create_tenant("acme", "enterprise").await;
    let mut workers = [start_worker(&api, SLOW_WORKER), start_worker(&api, SLOW_WORKER)];
    let id = api.import_csv("acme", csv(2_000, &bad)).await;
    let (busy, worker_id) = worker_of_the_import(&api, &mut workers, &id).await;

    busy.kill9().expect("it runs");
    let taken_over = poll_until(LEASE + Duration::from_secs(7), async || {
        Some(api.job(&id).await).filter(|job| job["deliveries"] == 2)
    });
    taken_over.await.expect("the other takes over when the lease has ended");

    let job = api.job_in_state(&id, "done").await;
    assert_eq!(job["attempts"][0]["error"], format!("lease expired at worker {worker_id}"));
    assert_eq!(job["attempts"].as_array().map(Vec::len), Some(2), "{job}");
    assert_eq!((&job["result"]["imported"], &job["result"]["rejected"]), (&json!(1_997), &json!(3)));
    assert_eq!(reject_lines(&job), [2, 1_000, 2_001]);
    assert_eq!(api.titles("acme").await, good_titles(2_000, &bad));
}

#[tokio::test]
pub(crate) async fn a_worker_that_hung_finds_its_import_in_other_hands() {
    let bad = [1, 999, 2_000];
    let api = Api::start_with(API_ALONE).await;
    api.create_tenant("acme", "enterprise").await;
    let mut workers = [start_worker(&api, SLOW_WORKER), start_worker(&api, SLOW_WORKER)];
    let id = api.import_csv("acme", csv(2_000, &bad)).await;
    let (busy, _) = worker_of_the_import(&api, &mut workers, &id).await;

    hang(&api, busy).await;
    // It wakes while the other runs the job, and still believes that it holds the lease.
    api.job_when(&id, |job| job["deliveries"] == 2 && job["progress"].is_object()).await;
    busy.resume().expect("it runs");

    let job = api.job_in_state(&id, "done").await;
    assert_eq!((&job["deliveries"], &job["failures"]), (&json!(2), &json!(0)));
    assert_eq!((&job["result"]["imported"], &job["result"]["rejected"]), (&json!(1_997), &json!(3)));
    assert_eq!(reject_lines(&job), [2, 1_000, 2_001]);
    assert_eq!(api.titles("acme").await, good_titles(2_000, &bad));
    for worker in &mut workers {
        assert_eq!(worker.stop().await.expect("it ends").code(), Some(0));
    }
}

#[tokio::test]
pub(crate) async fn an_update_in_one_api_is_seen_by_the_next_read_in_the_other() {
    let (a, b) = two_apis().await;
    let id = create(&a, "before").await;
    let path = format!("/api/schedules/{id}");
    for round in 0..ROUNDS {
        let title = format!("round {round}");
        success_json(put(&a, &path, &title)).await;

        let read = b.get_as("acme", &path).send().await.expect("an answer");
        assert!(cache_status(&read).starts_with("tidegate; fwd=uri-miss"), "{}", cache_status(&read));
        assert_eq!(title_of(read).await, title);
        // A second notice of the update may end a load that knew of it. The next load is kept.
        let cached = poll_until(DEADLINE, async || {
            let again = b.get_as("acme", &path).send().await.expect("an answer");
            let is_hit = cache_status(&again).starts_with("tidegate; hit");
            assert_eq!(title_of(again).await, title);
            is_hit.then_some(())
        });
        cached.await.expect("what the next update makes stale is cached");
    }
}

#[tokio::test]
pub(crate) async fn what_one_api_creates_and_deletes_is_listed_and_gone_in_the_other() {
    let (a, b) = two_apis().await;
    for round in 0..ROUNDS {
        let id = create(&a, &format!("round {round}")).await;
        let path = format!("/api/schedules/{id}");
        assert_eq!(b.titles("acme").await, [format!("round {round}")]);
        assert_eq!(b.get_as("acme", &path).send().await.expect("an answer").status(), StatusCode::OK);

        let delete = a.request(Method::DELETE, &path).header("x-tenant-id", "acme");
        assert_eq!(delete.send().await.expect("an answer").status(), StatusCode::NO_CONTENT);
        problem(b.get_as("acme", &path).send().await.expect("an answer"), 404, "not-found").await;
        assert!(b.titles("acme").await.is_empty());
    }
}

#[tokio::test]
pub(crate) async fn readers_in_one_api_never_fall_behind_a_writer_in_the_other() {
    let (a, b) = two_apis().await;
    let id = create(&a, "0").await;
    let path = format!("/api/schedules/{id}");

    let acknowledged = AtomicUsize::new(0);
    let write = async {
        for round in 1..=ROUNDS {
            success_json(put(&a, &path, &round.to_string())).await;
            acknowledged.store(round, Ordering::SeqCst);
        }
    };
    let read = async || {
        let mut reads = 0;
        while acknowledged.load(Ordering::SeqCst) < ROUNDS {
            let before = acknowledged.load(Ordering::SeqCst);
            let found = round_at(&b, &path).await;
            assert!(found >= before, "round {found} was served after round {before} was acknowledged");
            reads += 1;
        }
        reads
    };
    let ((), one, two, three) = tokio::join!(write, read(), read(), read());
    assert!(one + two + three > ROUNDS, "the readers read all the time: {one}, {two}, {three}");
}

#[tokio::test]
pub(crate) async fn what_a_reader_saw_in_one_api_is_not_unseen_in_the_writers_own() {
    let (a, b) = two_apis().await;
    let id = create(&a, "0").await;
    let path = format!("/api/schedules/{id}");
    let written = AtomicBool::new(false);
    let write = async {
        for round in 1..=ROUNDS {
            success_json(put(&a, &path, &round.to_string())).await;
        }
        written.store(true, Ordering::SeqCst);
    };
    // The writer's own cache must be as true as the other from the commit on, not from its answer.
    let read = async || {
        while !written.load(Ordering::SeqCst) {
            let seen = round_at(&b, &path).await;
            let own = round_at(&a, &path).await;
            assert!(own >= seen, "the writer served round {own} after the other had served {seen}");
        }
    };
    tokio::join!(write, read(), read(), read());
}

#[tokio::test]
pub(crate) async fn rows_of_a_worker_are_in_the_next_list_of_a_warm_api() {
    let api = Api::start_with(API_ALONE).await;
    // No more rows than the page has that is cached.
    let settings = [("TIDEGATE_IMPORT", "chunk=2, pause=60ms")];
    let _worker = start_worker(&api, &settings);
    api.create_tenant("acme", "enterprise").await;
    let list = || async { api.get_as("acme", "/api/schedules").send().await.expect("an answer") };
    assert_eq!(items_of(list().await).await, 0);
    assert!(cache_status(&list().await).starts_with("tidegate; hit"));

    let id = api.import_csv("acme", csv(50, &[])).await;
    let mut seen = Vec::new();
    let done = poll_until(DEADLINE, async || {
        let job = api.job(&id).await;
        // What the worker has reported, it has committed before.
        let reported = imported_so_far(&job);
        let listed = items_of(list().await).await;
        assert!(listed >= reported, "{listed} rows are listed when {reported} were reported");
        seen.push(reported);
        (job["state"] == "done").then_some(())
    });
    done.await.expect("the import is done");
    seen.dedup();
    assert!(seen.len() >= 4, "the list was read while rows came in: {seen:?}");
    assert_eq!(api.titles("acme").await, good_titles(50, &[]));
}

#[tokio::test]
pub(crate) async fn a_change_of_tier_in_one_api_binds_the_next_request_in_the_other() {
    let (a, b) = two_apis().await;
    a.create_tenant("small", "free").await;
    let list = || async { b.get_as("small", "/api/schedules").send().await.expect("an answer") };
    for _ in 0..60 {
        assert_eq!(list().await.status(), StatusCode::OK);
    }
    let refused = problem(list().await, 429, "rate-limited").await;
    assert_eq!((&refused["window"], &refused["tier"]), (&json!("minute"), &json!("free")));

    set_plan(&a, json!({"tenant_id": "small", "tier": "premium"})).await;
    assert_eq!(list().await.status(), StatusCode::OK);
    set_plan(&a, json!({"tenant_id": "small", "limits": {"per_hour": 61}})).await;
    let refused = problem(list().await, 429, "rate-limited").await;
    assert_eq!((&refused["window"], &refused["tier"]), (&json!("hour"), &json!("premium")));
    set_plan(&a, json!({"tenant_id": "small", "limits": {"per_hour": null}})).await;
    assert_eq!(list().await.status(), StatusCode::OK);
}

#[tokio::test]
pub(crate) async fn a_purge_in_one_api_reaches_the_other_and_only_what_it_names() {
    let (a, b) = two_apis().await;
    let id = create(&a, "kept").await;
    let (schedule, list) = (format!("/api/schedules/{id}"), String::from("/api/schedules"));
    let key = format!("schedule:acme:{id}");
    // The selection, and whether it covers the schedule and the list.
    let purges = [
        (json!({"all": true}), true, true),
        (json!({"type": "all"}), true, true),
        (json!({"type": "schedule"}), true, true),
        (json!({"pattern": "schedule:acme:*"}), true, false),
        (json!({"pattern": "schedules:*", "type": "schedule"}), false, true),
        (json!({"keys": [key]}), true, false),
        (json!({"tags": ["schedules-of:acme"]}), false, true),
        (json!({"type": "tenant"}), false, false),
        (json!({"pattern": "schedule*:globex:*"}), false, false),
    ];
    for (selection, schedule_goes, list_goes) in purges {
        let purge = async || {
            for path in [&schedule, &list] {
                let cached = poll_until(DEADLINE, async || is_hit(&b, path).await.then_some(())).await;
                assert!(cached.is_ok(), "{path} is cached before {selection}");
            }
            success_json(a.request(Method::DELETE, "/api/cache").json(&selection)).await;
            let (schedule_stays, list_stays) = (is_hit(&b, &schedule).await, is_hit(&b, &list).await);
            assert!(!(schedule_goes && schedule_stays), "{selection} and the schedule");
            assert!(!(list_goes && list_stays), "{selection} and the list");
            // A late notice may end what this purge leaves: then it is tried again.
            (schedule_stays != schedule_goes && list_stays != list_goes).then_some(())
        };
        assert!(poll_until(DEADLINE, purge).await.is_ok(), "{selection} takes more than it names");
    }
}

#[tokio::test]
pub(crate) async fn health_is_degraded_while_no_worker_serves_the_queue() {
    let api = Api::start_with(API_ALONE).await;
    let told = health_when(&api, is_unserved).await;
    assert_eq!((&told["status"], &told["health"]), (&json!("warn"), &json!("degraded")));
    let reason = reason_of_the_queue(&told).expect("a reason");
    assert!(!reason["message"].as_str().expect("a message").is_empty());
    assert_eq!((&reason["observed"], &reason["threshold"]), (&json!(1.0), &json!(0.5)));

    let mut worker = start_worker(&api, &[]);
    health_when(&api, |health| health["status"] == "pass" && !is_unserved(health)).await;
    worker.stop().await.expect("it ends");
    let told = health_when(&api, is_unserved).await;
    assert_eq!(told["status"], "warn");
}

/// Two leases after a kill -9 the worker counts as lost, and its queues as unserved.
#[tokio::test]
pub(crate) async fn a_killed_worker_is_lost_after_two_leases() {
    let api = Api::start_with(API_ALONE).await;
    let mut worker = start_worker(&api, &[("TIDEGATE_QUEUE_LEASE", "2s")]);
    let workers = async || api.json("/api/queue/import").await["workers"].as_array().expect("workers").clone();
    let is_live = async || workers().await.first().filter(|worker| worker["lost"] == false).cloned();
    let live = poll_until(DEADLINE, is_live).await.expect("it is announced");
    assert_eq!((&live["pid"], &live["lease_ms"]), (&json!(worker.pid()), &json!(2_000)));
    health_when(&api, |health| !is_unserved(health)).await;

    worker.kill9().expect("it is killed");
    // Far less than the hour for which a silent worker is remembered.
    let is_lost = async || workers().await.first().filter(|worker| worker["lost"] == true).cloned();
    let lost = poll_until(DEADLINE, is_lost).await.expect("it is lost");
    assert_eq!((&lost["id"], &lost["running"]), (&live["id"], &json!(0)));
    let health = health_when(&api, is_unserved).await;
    let message = reason_of_the_queue(&health).expect("a reason")["message"].as_str().expect("a message");
    assert!(message.contains("import"), "{message}");
    let page =
        api.request(Method::GET, "/dashboard/queues").send().await.expect("an answer").text().await.expect("a page");
    assert!(page.contains(">lost<"), "the page shows it as lost");
    let metrics = api.request(Method::GET, "/metrics").send().await.expect("an answer").text().await.expect("figures");
    let serving = metrics.lines().find(|line| line.starts_with("tidegate_queue_workers{queue=\"import\"}"));
    assert_eq!(serving.and_then(|line| line.split(' ').next_back()), Some("0"), "{serving:?}");
}
