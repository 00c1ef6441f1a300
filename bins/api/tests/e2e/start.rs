//! The first start, the next ones, and who may do what.

mod access;
mod commands;
mod settings;

use std::net::{IpAddr, SocketAddr, UdpSocket};

use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use tidegate_testkit::{Process, Scratch, poll_until};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use self::commands::{json_of, offered_commands, paste, plain, says_unready};
use crate::harness::{Api, DEADLINE, api, client, csv, listening_at, problem, run, schedule, success_json};

pub(crate) const ADMIN: &str = "admin-token-0123456789";
pub(crate) const READ: &str = "read-token-0123456789";
/// Failed logins are not counted, since the tests make many.
pub(crate) const TOKENS: [(&str, &str); 3] =
    [("TIDEGATE_ADMIN_TOKEN", ADMIN), ("TIDEGATE_READ_TOKEN", READ), ("TIDEGATE_LIMIT_AUTH", "mode=off")];

#[tokio::test]
async fn the_first_start_says_where_it_is_what_it_runs_on_and_what_to_try() {
    let scratch = Scratch::new();
    let mut process = plain(scratch.path()).start().unwrap();
    let url = listening_at(&mut process).await;
    let commands = offered_commands(&mut process).await;
    assert_eq!(commands.len(), 3, "{commands:?}");
    let banner = process.log().find(|line| line.contains("SQLite")).expect("what it runs on");
    for part in ["./data", "tidegate.db", "queue.db", "in memory", "inside this process"] {
        assert!(banner.contains(part), "{banner}");
    }
    for command in &commands {
        assert!(command.contains(&url), "{command}");
    }
    let dashboard = process.log().find(|line| line.contains("Dashboard: ")).expect("where to look at it");
    assert_eq!(dashboard, format!("Dashboard: {url}/dashboard"));

    let tenant = json_of(&paste(&commands[0], &[]).await);
    assert_eq!(tenant["id"], "acme");
    assert!(tenant["api_key"].as_str().is_some_and(|key| key.starts_with("tk_")), "{tenant}");
    let created = json_of(&paste(&commands[1], &[]).await);
    assert_eq!(created["title"], "Stand-up");
    let listed = paste(&commands[2], &[]).await;
    assert_eq!(listed.code, Some(0), "{}", listed.err);
    assert!(listed.out.starts_with("HTTP/1.1 200"), "{}", listed.out);
    assert!(listed.out.to_lowercase().contains("cache-status: tidegate"), "{}", listed.out);
    assert!(listed.out.contains(created["id"].as_str().unwrap()), "{}", listed.out);

    for file in ["data/tidegate.db", "data/queue.db"] {
        assert!(scratch.join(file).is_file(), "{file}");
    }
}

#[tokio::test]
async fn with_tokens_the_offered_commands_work_too() {
    let mut api = Api::start_with(&TOKENS).await;
    let commands = offered_commands(&mut api.process).await;
    assert_eq!(commands.len(), 3, "{commands:?}");
    let mut variables = vec![("TIDEGATE_ADMIN_TOKEN", ADMIN)];
    let tenant = json_of(&paste(&commands[0], &variables).await);
    variables.push(("TENANT_KEY", tenant["api_key"].as_str().unwrap()));
    let created = json_of(&paste(&commands[1], &variables).await);
    let listed = paste(&commands[2], &variables).await;
    assert!(listed.out.starts_with("HTTP/1.1 200"), "{}", listed.out);
    assert!(listed.out.contains(created["id"].as_str().unwrap()), "{}", listed.out);
}

#[tokio::test]
async fn it_listens_on_loopback_only() {
    let api = Api::start().await;
    let address: SocketAddr = api.url.trim_start_matches("http://").parse().unwrap();
    assert_eq!(address.ip().to_string(), "127.0.0.1");
    TcpStream::connect(address).await.expect("it listens there");

    // On 0.0.0.0 it would answer these too.
    let mut others: Vec<IpAddr> = vec!["127.0.0.2".parse().unwrap(), "::1".parse().unwrap()];
    others.extend(address_in_the_network());
    for other in others {
        let outcome = TcpStream::connect((other, address.port())).await;
        assert!(outcome.is_err(), "something answers on {other}");
    }
}

/// This machine's address in its network. Sends nothing: the socket only picks a route.
fn address_in_the_network() -> Option<IpAddr> {
    let socket = UdpSocket::bind("0.0.0.0:0").ok()?;
    socket.connect("198.51.100.1:9").ok()?;
    socket.local_addr().ok().map(|address| address.ip()).filter(|address| !address.is_loopback())
}

#[tokio::test]
async fn no_secret_reaches_the_log_even_at_trace() {
    let mut variables = TOKENS.to_vec();
    variables.push(("RUST_LOG", "trace"));
    let mut api = Api::start_with(&variables).await;
    let tenant = json!({"id": "acme", "name": "Acme", "tier": "free"});
    let created = success_json(api.request(Method::POST, "/api/tenants").bearer_auth(ADMIN).json(&tenant)).await;
    let key = created["api_key"].as_str().unwrap().to_owned();
    let guessed = "tk_guessed-0123456789";
    success_json(api.request(Method::POST, "/api/schedules").bearer_auth(&key).json(&schedule("one"))).await;
    for (path, token) in [
        ("/api/schedules", key.as_str()),
        ("/api/schedules", guessed),
        ("/api/queue", READ),
        ("/api/queue", ADMIN),
        ("/api/tenants/acme", key.as_str()),
        ("/metrics", ADMIN),
    ] {
        let answer = api.request(Method::GET, path).bearer_auth(token).send().await.unwrap();
        let text = format!("{:?} {}", answer.headers().clone(), answer.text().await.unwrap());
        assert!(!text.contains(token), "{path} repeats a token: {text}");
    }
    // The log reports it only at `debug`.
    let mut garbage = TcpStream::connect(api.url.trim_start_matches("http://")).await.unwrap();
    garbage.write_all(b"garbage\r\n\r\n").await.unwrap();
    garbage.read_to_end(&mut Vec::new()).await.unwrap();
    api.process.stop().await.unwrap();

    let log = api.process.log();
    assert_eq!(log.dropped(), 0, "the whole log was read");
    let has = |text: &str| log.lines().iter().any(|line| line.text.contains(text));
    assert!(has("a connection ended early"), "the log has everything");
    assert!(!has("INSERT INTO api_key"), "but statements, which may hold anything");
    for secret in [ADMIN, READ, key.as_str(), guessed] {
        let told = log.lines().into_iter().find(|line| line.text.contains(secret));
        assert!(told.is_none(), "{told:?}");
    }
}

#[tokio::test]
async fn sigterm_turns_it_unready_while_it_serves_on_and_ends_it_well() {
    let mut api = Api::start_with(&[("TIDEGATE_HTTP_DRAIN", "delay=5s")]).await;
    api.create_tenant("acme", "enterprise").await;
    assert_eq!(api.request(Method::GET, "/readyz").send().await.unwrap().status(), 200);

    let url = api.url.clone();
    let served = async {
        says_unready(&url).await;
        let late = client().get(format!("{url}/api/tenants/acme")).send().await.unwrap();
        assert_eq!(late.status(), 200, "a client that the balancer sent here before it knew is served");
    };
    let (status, ()) = tokio::join!(api.process.stop(), served);
    assert_eq!(status.unwrap().code(), Some(0));
    // The last connection writes the log back: what is in the files is all there is.
    for leftover in ["tidegate.db-wal", "queue.db-wal"] {
        assert!(!api.scratch.join(leftover).exists(), "{leftover}");
    }
}

#[tokio::test]
async fn startup_stays_true_while_draining() {
    let mut api = Api::start_with(&[("TIDEGATE_HTTP_DRAIN", "delay=5s")]).await;
    let startup = async |url: &str| client().get(format!("{url}/startupz")).send().await.unwrap().status().as_u16();
    assert_eq!(startup(&api.url).await, 200);
    let url = api.url.clone();
    let drained = async {
        says_unready(&url).await;
        assert_eq!(startup(&url).await, 200, "who restarts what has not started would restart it now");
    };
    let (status, ()) = tokio::join!(api.process.stop(), drained);
    assert_eq!(status.unwrap().code(), Some(0));
}

#[tokio::test]
async fn metrics_need_a_token_if_configured() {
    let service = "service-token-0123456789";
    let closed = [
        ("TIDEGATE_PERFORMANCE_METRICS_ACCESS", "token"),
        ("TIDEGATE_ADMIN_TOKEN", ADMIN),
        ("TIDEGATE_READ_TOKEN", READ),
        ("TIDEGATE_SERVICE_TOKEN", service),
    ];
    let api = Api::start_with(&closed).await;
    let settings: Vec<_> = closed.into_iter().chain([("TIDEGATE_WORKER_LISTEN", "127.0.0.1:0")]).collect();
    let mut worker = api.worker(&settings).start().unwrap();
    let line = worker.wait_for_line("Probes and metrics at", DEADLINE).await.unwrap();
    let at_worker = line[line.find("http://").unwrap()..].trim().to_owned();

    let client = client();
    for url in [&api.url, &at_worker] {
        let judged = poll_until(DEADLINE, async || {
            let health = client.get(format!("{url}/health")).bearer_auth(READ).send().await.ok()?;
            let health: Value = health.json().await.ok()?;
            health["checks"].is_object().then_some(())
        });
        judged.await.expect("the reader sees all");
        let wrong = &READ[..READ.len() - 1];
        for (token, wanted) in
            [(None, 401), (Some(wrong), 401), (Some(service), 403), (Some(READ), 200), (Some(ADMIN), 200)]
        {
            let get =
                |path: &str| token.into_iter().fold(client.get(format!("{url}{path}")), RequestBuilder::bearer_auth);
            let answer = get("/metrics").send().await.unwrap();
            assert_eq!(answer.status(), wanted, "{token:?} at {url}");
            assert_eq!(answer.text().await.unwrap().contains("tidegate_"), wanted == 200, "{token:?} at {url}");
            let health = get("/health").send().await.unwrap();
            assert_eq!(health.headers()["content-type"], "application/health+json");
            let health: Value = health.json().await.unwrap();
            assert!(health["status"].is_string(), "{health}");
            assert_eq!(health.as_object().unwrap().len() > 1, wanted == 200, "{token:?} at {url}: {health}");
            for probe in ["/livez", "/readyz", "/startupz"] {
                assert_eq!(get(probe).send().await.unwrap().status(), 200, "{token:?} at {url}{probe}");
            }
        }
    }
}

#[tokio::test]
async fn a_second_signal_ends_it_at_once() {
    let mut api = Api::start_with(&[("TIDEGATE_HTTP_DRAIN", "delay=1h")]).await;
    let first = format!("kill -TERM {}", api.process.pid().unwrap());
    assert_eq!(run(Process::builder("/bin/sh").args(["-c", &first])).await.code, Some(0));
    says_unready(&api.url).await;
    assert_eq!(api.process.stop().await.unwrap().code(), Some(1));
}

#[tokio::test]
async fn a_worker_shows_draining_until_its_last_job_has_ended() {
    let api = Api::start_with(&[("TIDEGATE_WORKER", "none")]).await;
    api.create_tenant("acme", "enterprise").await;
    let settings = [
        ("TIDEGATE_WORKER_LISTEN", "127.0.0.1:0"),
        ("TIDEGATE_IMPORT", "chunk=50, pause=100ms"),
        ("TIDEGATE_QUEUE_GRACE", "1h"),
    ];
    let mut worker = api.worker(&settings).start().unwrap();
    let line = worker.wait_for_line("Probes and metrics at", DEADLINE).await.unwrap();
    let url = line[line.find("http://").unwrap()..].trim().to_owned();
    let id = api.import_csv("acme", csv(2_000, &[])).await;
    api.job_when(&id, |job| job["state"] == "leased" && job["progress"].is_object()).await;

    let (status, ()) = tokio::join!(worker.stop(), says_unready(&url));
    assert_eq!(status.unwrap().code(), Some(0));
    let job = api.job(&id).await;
    assert_eq!((&job["state"], &job["result"]["imported"]), (&json!("done"), &json!(2_000)));
}

#[tokio::test]
async fn a_second_instance_on_the_same_address_is_refused_and_the_first_goes_on() {
    let first = Api::start().await;
    first.create_tenant("acme", "enterprise").await;
    let address = first.url.trim_start_matches("http://");
    let elsewhere = Scratch::new();
    for directory in [first.scratch.path(), elsewhere.path()] {
        let second = run(api(directory, &[]).env("TIDEGATE_LISTEN", address)).await;
        assert_eq!(second.code, Some(4), "{}", second.err);
        assert!(second.err.contains(address) && second.err.contains("TIDEGATE_LISTEN"), "{}", second.err);
    }
    assert_eq!(std::fs::read_dir(elsewhere.path()).unwrap().count(), 0, "it gave up before it wrote anything");
    assert_eq!(first.json("/api/tenants/acme").await["id"], "acme");
}

#[tokio::test]
async fn a_second_instance_on_the_same_data_serves_the_same_tenants() {
    let first = Api::start().await;
    let mut second = first.start_beside(&[]).await;
    first.create_tenant("acme", "enterprise").await;
    assert_eq!(second.json("/api/tenants/acme").await["tier"], "enterprise");
    assert_eq!(second.process.stop().await.unwrap().code(), Some(0));
    assert_eq!(first.json("/api/tenants/acme").await["id"], "acme");
}

#[tokio::test]
async fn a_restart_keeps_data() {
    let mut api = Api::start().await;
    let tenant = api.create_tenant("acme", "premium").await;
    let key = tenant["api_key"].as_str().unwrap();
    let made = api.request(Method::POST, "/api/schedules").bearer_auth(key).json(&schedule("kept"));
    let made = success_json(made).await;

    assert_eq!(api.process.stop().await.unwrap().code(), Some(0));
    api.restart().await;
    let path = format!("/api/schedules/{}", made["id"].as_str().unwrap());
    assert_eq!(success_json(api.request(Method::GET, &path).bearer_auth(key)).await, made);
    assert_eq!(api.json("/api/tenants/acme").await["tier"], "premium");
    let again = api.request(Method::POST, "/api/tenants").json(&json!({"id": "acme", "name": "Acme"}));
    problem(again.send().await.unwrap(), 409, "exists").await;
}

#[tokio::test]
async fn a_bind_that_others_can_reach_wants_a_token() {
    let scratch = Scratch::new();
    for listen in ["0.0.0.0:0", "[::]:0"] {
        let open = run(api(scratch.path(), &[]).env("TIDEGATE_LISTEN", listen)).await;
        assert_eq!(open.code, Some(2), "{}", open.err);
        for part in ["TIDEGATE_LISTEN", "TIDEGATE_ADMIN_TOKEN", "tokens.admin"] {
            assert!(open.err.contains(part), "{}", open.err);
        }
        // The read token alone guards no change.
        let half = api(scratch.path(), &[("TIDEGATE_READ_TOKEN", READ)]).env("TIDEGATE_LISTEN", listen);
        assert_eq!(run(half).await.code, Some(2));
    }
    assert_eq!(std::fs::read_dir(scratch.path()).unwrap().count(), 0);

    let guarded = api(scratch.path(), &TOKENS).env("TIDEGATE_LISTEN", "0.0.0.0:0");
    let mut guarded = guarded.start().unwrap();
    let url = listening_at(&mut guarded).await.replace("0.0.0.0", "127.0.0.1");
    let answer = client().get(format!("{url}/api/queue")).send().await.unwrap();
    problem(answer, 401, "unauthorized").await;
}
