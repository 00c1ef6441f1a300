//! The tables on PostgreSQL.

use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tidegate_testkit::redis::RedisServer;
use tidegate_testkit::{PostgresServer, Scratch, poll_until};

use crate::backend::Servers;
use crate::harness::{Api, DEADLINE, api, csv, good_titles, problem, run, schedule, success_json};

/// The test is about the return of a killed server, not about the speed of a busy machine.
const PATIENT: (&str, &str) = ("TIDEGATE_DATABASE_CONNECTIONS", "deadline=60s");

async fn on(server: &PostgresServer) -> Api {
    Api::start_with(&[("DATABASE_URL", &server.url()), PATIENT]).await
}

fn create(api: &Api, tenant: &str, title: &str) -> reqwest::RequestBuilder {
    api.request(Method::POST, "/api/schedules").header("x-tenant-id", tenant).json(&schedule(title))
}

#[tokio::test]
async fn tenants_schedules_and_imports_are_on_the_server_and_outlive_the_process() {
    let server = PostgresServer::start_tcp(&[]).await;
    let mut api = on(&server).await;
    let tenant = api.create_tenant("acme", "enterprise").await;
    assert!(tenant["api_key"].is_string(), "{tenant}");
    let again = json!({"id": "acme", "name": "acme", "tier": "free"});
    let again = api.request(Method::POST, "/api/tenants").json(&again).send().await.unwrap();
    problem(again, 409, "exists").await;

    let made = success_json(create(&api, "acme", "first")).await;
    let path = format!("/api/schedules/{}", made["id"].as_str().unwrap());
    assert_eq!(success_json(api.get_as("acme", &path)).await["title"], "first");
    let replace = api.request(Method::PUT, &path).header("x-tenant-id", "acme").json(&schedule("second"));
    assert_eq!(success_json(replace).await["title"], "second");
    assert_eq!(success_json(api.get_as("acme", &path)).await["title"], "second");

    let id = api.import_csv("acme", csv(1_200, &[5, 600])).await;
    let job = api.job_in_state(&id, "done").await;
    assert_eq!((&job["result"]["imported"], &job["result"]["rejected"]), (&json!(1_198), &json!(2)), "{job}");
    let mut titles = good_titles(1_200, &[5, 600]);
    titles.push("second".to_owned());
    titles.sort_unstable();
    assert_eq!(api.titles("acme").await, titles);
    assert_eq!(server.psql("SELECT count(*) FROM schedule").await, "1199");

    api.kill_and_restart().await;
    assert_eq!(api.titles("acme").await, titles);
    let delete = api.request(Method::DELETE, &path).header("x-tenant-id", "acme").send().await.unwrap();
    assert_eq!(delete.status(), StatusCode::NO_CONTENT);
    problem(api.get_as("acme", &path).send().await.unwrap(), 404, "not-found").await;
    assert!(!api.scratch.path().join("tidegate.db").exists(), "no tables lie in the directory");

    let metrics = api.request(Method::GET, "/metrics").send().await.unwrap().text().await.unwrap();
    assert!(metrics.contains("tidegate_db_pool_max_connections{pool=\"app-postgres\"} 10"), "{metrics}");
    let slow = api.json("/api/performance?type=slow-queries&limit=50").await.to_string();
    assert!(slow.contains("schedule") && !slow.contains("second"), "shapes without values: {slow}");
}

#[tokio::test]
async fn what_one_instance_changes_the_other_no_longer_answers_from_its_cache() {
    let server = PostgresServer::start_tcp(&[]).await;
    let (one, other) = tokio::join!(on(&server), on(&server));
    one.create_tenant("acme", "enterprise").await;
    let made = success_json(create(&one, "acme", "0")).await;
    let path = format!("/api/schedules/{}", made["id"].as_str().unwrap());
    let mut last = String::from("0");
    for change in 1..20 {
        // From its cache, of which it is sure.
        let cached = async || {
            let answer = other.get_as("acme", &path).send().await.unwrap();
            let is_hit = answer.headers()["cache-status"].to_str().unwrap().contains("hit");
            let body: Value = answer.json().await.unwrap();
            (is_hit && body["title"] == *last).then_some(())
        };
        poll_until(DEADLINE, cached).await.unwrap();
        let title = change.to_string();
        let replace = one.request(Method::PUT, &path).header("x-tenant-id", "acme").json(&schedule(&title));
        success_json(replace).await;
        let seen = async || (success_json(other.get_as("acme", &path)).await["title"] == *title).then_some(());
        poll_until(DEADLINE, seen).await.unwrap();
        last = title;
    }
}

#[tokio::test]
async fn a_database_that_is_killed_and_comes_back_costs_no_request_and_no_import() {
    let mut server = PostgresServer::start_tcp(&[]).await;
    let api = Api::start_with(&[
        ("DATABASE_URL", &server.url()),
        PATIENT,
        ("TIDEGATE_HTTP_TIMEOUTS", "request=60s"),
        ("TIDEGATE_IMPORT", "chunk=50, pause=50ms"),
    ])
    .await;
    api.create_tenant("acme", "enterprise").await;
    let cached = success_json(create(&api, "acme", "cached")).await;
    let path = format!("/api/schedules/{}", cached["id"].as_str().unwrap());
    success_json(api.get_as("acme", &path)).await;
    let id = api.import_csv("acme", csv(1_000, &[])).await;
    api.job_when(&id, |job| job["progress"].is_object()).await;

    server.kill9();
    let is_unready = async || {
        let ready = api.request(Method::GET, "/readyz").send().await.unwrap();
        (ready.status() == StatusCode::SERVICE_UNAVAILABLE).then_some(())
    };
    poll_until(DEADLINE, is_unready).await.unwrap();
    assert_eq!(api.request(Method::GET, "/livez").send().await.unwrap().status(), StatusCode::OK);
    // All of these wait.
    let create = |number: usize| {
        let request = create(&api, "acme", &format!("made meanwhile {number}"));
        async move { success_json(request).await }
    };
    let waiting = futures_util::future::join_all((0..5).map(create));
    let read = async { success_json(api.get_as("acme", &path)).await };
    let (made, read, ()) = tokio::join!(waiting, read, server.restart());
    assert_eq!((made.len(), &read["title"]), (5, &json!("cached")));

    api.job_in_state(&id, "done").await;
    assert_eq!(server.psql("SELECT count(*), count(DISTINCT title) FROM schedule").await, "1006|1006");
    let is_ready = async || {
        let ready = api.request(Method::GET, "/readyz").send().await.unwrap();
        (ready.text().await.unwrap() == "ready\n").then_some(())
    };
    poll_until(DEADLINE, is_ready).await.unwrap();
}

#[tokio::test]
async fn with_redis_beside_it_two_instances_share_jobs_and_cache() {
    let server = PostgresServer::start_tcp(&[]).await;
    let url = server.url();
    let variables = [("DATABASE_URL", url.as_str()), PATIENT];
    let one = Api::start_on(Servers::Single(RedisServer::start().await), &variables).await;
    let other = one.start_beside(&variables).await;
    one.create_tenant("acme", "enterprise").await;
    let id = one.import_csv("acme", csv(300, &[7])).await;
    other.job_in_state(&id, "done").await;
    assert_eq!(other.titles("acme").await, good_titles(300, &[7]));
    assert_ne!(server.psql("SELECT count(*) FROM invalidation").await, "0", "what is owed to Redis is written down");
}

#[tokio::test]
async fn a_database_that_can_not_be_used_is_named_without_its_password() {
    let scratch = Scratch::new();
    let start = async |url: &str, arguments: &[&str]| {
        let variables = [("DATABASE_URL", url), ("TIDEGATE_DATABASE_CONNECTIONS", "deadline=1s")];
        run(api(scratch.path(), &variables).args(arguments)).await
    };
    let nobody = format!("postgres://app:hunter2@127.0.0.1:{}/shop", tidegate_testkit::free_port());
    let variables = [("DATABASE_URL", nobody.as_str()), ("TIDEGATE_DATABASE_CONNECTIONS", "deadline=1s")];
    let mut waiting = api(scratch.path(), &variables).start().unwrap();
    let told = waiting.wait_for_line("waiting to start", DEADLINE).await.unwrap();
    assert!(told.contains("shop at 127.0.0.1") && !told.contains("hunter2"), "{told}");
    assert!(waiting.stop().await.unwrap().success());

    // Settings are checked without a server.
    let good = start(&nobody, &["--check"]).await;
    assert_eq!(good.code, Some(0), "{}", good.err);
    let shown = start(&nobody, &["--print-settings"]).await;
    assert!(shown.out.contains("database_url") && !shown.out.contains("hunter2"), "{}", shown.out);
    for bad in ["mysql://app:hunter2@localhost/shop", "postgres://app@localhost/shop?passwrod=hunter2"] {
        let ended = start(bad, &["--check"]).await;
        assert_eq!(ended.code, Some(2), "{}", ended.err);
        let told = format!("{}{}", ended.out, ended.err);
        assert!(told.contains("DATABASE_URL") && !told.contains("hunter2"), "{told}");
    }

    let server = PostgresServer::start(&[]).await;
    server.psql("CREATE TABLE theirs (id int)").await;
    let foreign = start(&server.url(), &[]).await;
    assert_eq!(foreign.code, Some(3), "{}", foreign.err);
    assert!(format!("{}{}", foreign.out, foreign.err).contains("another program"));
    let refused = start(&server.url().replace("postgres@", "nobody:hunter2@"), &[]).await;
    assert_eq!(refused.code, Some(6), "{}", refused.err);
    assert!(refused.err.contains("nobody") && !refused.err.contains("hunter2"), "{}", refused.err);
}

#[tokio::test]
async fn an_instance_without_change_notifications_reports_it_and_reads_the_tables() {
    let server = PostgresServer::start_tcp(&[]).await;
    server.psql("CREATE ROLE app LOGIN; GRANT ALL ON SCHEMA public TO app").await;
    let url = server.url().replace("postgres@", "app@");
    let api =
        Api::start_with(&[("DATABASE_URL", &url), ("TIDEGATE_DATABASE_CONNECTIONS", "connect=1s, deadline=60s")]).await;
    api.create_tenant("acme", "enterprise").await;
    let made = success_json(create(&api, "acme", "first")).await;
    let path = format!("/api/schedules/{}", made["id"].as_str().unwrap());
    let is_hit = async || {
        let answer = api.get_as("acme", &path).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        answer.headers()["cache-status"].to_str().unwrap().contains("hit")
    };
    poll_until(DEADLINE, async || is_hit().await.then_some(())).await.unwrap();
    let ready = async |wanted: &str| {
        let says = async || {
            let answer = api.request(Method::GET, "/readyz").send().await.unwrap();
            (answer.status() == StatusCode::OK && answer.text().await.unwrap().starts_with(wanted)).then_some(())
        };
        poll_until(DEADLINE, says).await.unwrap();
    };
    ready("ready\n").await;

    // No connection is let in any more, and the one that listens is ended. Those of the pool go on.
    server
        .psql(
            "ALTER ROLE app CONNECTION LIMIT 0;
             SELECT pg_terminate_backend(pid) FROM pg_stat_activity
             WHERE usename = 'app' AND query = 'SELECT pg_is_in_recovery()'",
        )
        .await;
    ready("ready, degraded: no change notifications from the database").await;
    for _ in 0..5 {
        assert!(!is_hit().await, "nothing is answered from a cache that may be stale");
    }
    server.psql("ALTER ROLE app CONNECTION LIMIT -1").await;
    ready("ready\n").await;
    poll_until(DEADLINE, async || is_hit().await.then_some(())).await.unwrap();
}

#[tokio::test]
async fn an_expired_value_is_served_while_the_server_is_slow_and_an_invalidated_one_is_not() {
    const BRIEF: (&str, &str) = ("TIDEGATE_CACHE_SCHEDULE", "ttl=1s, refresh_ahead=0s, early_refresh=off");
    let server = PostgresServer::start_tcp(&[]).await;
    let api = Api::start_with(&[("DATABASE_URL", &server.url()), PATIENT, BRIEF]).await;
    api.create_tenant("acme", "enterprise").await;
    let made = success_json(create(&api, "acme", "first")).await;
    let id = made["id"].as_str().unwrap();
    let path = format!("/api/schedules/{id}");
    success_json(api.get_as("acme", &path)).await;
    let classes = api.json("/api/cache").await["classes"].clone();
    let schedule = classes.as_array().unwrap().iter().find(|class| class["class"] == "schedule").unwrap();
    assert_eq!(
        (&schedule["settings"]["ttl_seconds"], &schedule["settings"]["grace_seconds"]),
        (&json!(1.0), &json!(3600.0))
    );

    let locking = server.psql("BEGIN; LOCK TABLE schedule IN ACCESS EXCLUSIVE MODE; SELECT pg_sleep(600)");
    let reading = async {
        let locks = "SELECT count(*) FROM pg_locks WHERE relation = 'schedule'::regclass \
                     AND mode = 'AccessExclusiveLock' AND granted";
        poll_until(DEADLINE, async || (server.psql(locks).await == "1").then_some(())).await.unwrap();
        let stale = poll_until(DEADLINE, async || {
            let answer = api.get_as("acme", &path).send().await.unwrap();
            assert_eq!(answer.status(), StatusCode::OK);
            answer.headers()["cache-status"].to_str().unwrap().contains("stale").then_some(answer)
        });
        assert_eq!(stale.await.unwrap().json::<Value>().await.unwrap()["title"], "first");

        let purge = api.request(Method::DELETE, "/api/cache").json(&json!({"keys": [format!("schedule:acme:{id}")]}));
        success_json(purge).await;
        let read = api.get_as("acme", &path).timeout(Duration::from_secs(2)).send().await;
        assert!(read.is_err_and(|error| error.is_timeout()), "what was invalidated is not served");
    };
    tokio::select! {
        () = reading => {}
        said = locking => panic!("the lock is gone: {said}"),
    }
}
