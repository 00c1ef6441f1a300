//! The reason why a server can't be used is reported correctly.

#![allow(clippy::unwrap_used, clippy::panic, reason = "in a test a panic is an answer")]

use std::time::Duration;

use tidegate_redis::{Client, Command, Config, Diagnosis, ErrorKind, Role, Script};
use tidegate_testkit::poll_until;
use tidegate_testkit::redis::{RedisServer, redis_cli};

const LONG: Duration = Duration::from_secs(60);

async fn connect(server: &RedisServer) -> Client {
    Client::connect(&Config::parse(&server.url()).unwrap(), Role::Durable).await.unwrap()
}

/// Sends writes until the breaker opens.
async fn until_unavailable(client: &Client) {
    let is_open = async || {
        let _ = client.execute(Command::new("SET").key("key").arg("value")).await;
        (!client.availability().is_available()).then_some(())
    };
    poll_until(LONG, is_open).await.unwrap();
}

#[tokio::test]
async fn a_server_that_wants_a_password_at_run_time_is_no_silent_one() {
    let server = RedisServer::start().await;
    let client = connect(&server).await;
    assert_eq!(client.diagnose().await, None);
    server.cli(&["CONFIG", "SET", "requirepass", "new"]).await;
    server.cli(&["-a", "new", "CLIENT", "KILL", "TYPE", "normal"]).await;
    until_unavailable(&client).await;
    let Diagnosis { answers, reason } = client.diagnose().await.unwrap();
    assert!(answers && reason.contains("NOAUTH") && reason.contains("password"), "{reason}");
    // The password is removed, and the client reconnects by itself.
    server.cli(&["-a", "new", "CONFIG", "SET", "requirepass", ""]).await;
    poll_until(LONG, async || client.availability().is_available().then_some(())).await.unwrap();
    assert_eq!(client.diagnose().await, None);
}

#[tokio::test]
async fn a_server_that_became_a_replica_says_that_it_is_read_only() {
    let (server, primary) = (RedisServer::start().await, RedisServer::start().await);
    let client = connect(&server).await;
    server.cli(&["REPLICAOF", "127.0.0.1", &primary.port().to_string()]).await;
    until_unavailable(&client).await;
    let Diagnosis { answers, reason } = client.diagnose().await.unwrap();
    assert!(answers && reason.contains("READONLY"), "{reason}");
}

#[tokio::test]
async fn a_killed_server_does_not_answer() {
    let mut server = RedisServer::start().await;
    let client = connect(&server).await;
    server.kill9();
    until_unavailable(&client).await;
    let Diagnosis { answers, reason } = client.diagnose().await.unwrap();
    assert!(!answers && reason.contains("refused"), "{reason}");
}

/// These servers answer, so the breaker stays closed, and each error names its cause.
#[tokio::test]
async fn a_refused_command_names_its_cause() {
    let server = RedisServer::builder().set("maxmemory-policy", "noeviction").start().await;
    let client = connect(&server).await;
    let refusal = async || client.execute(Command::new("SET").key("key").arg("value")).await.unwrap_err();
    server.cli(&["CONFIG", "SET", "maxmemory", "1"]).await;
    let full = refusal().await;
    assert!(full.is_full() && full.is_transient() && full.kind() == ErrorKind::Refused, "{full}");
    server.cli(&["CONFIG", "SET", "maxmemory", "0"]).await;
    server.cli(&["ACL", "SETUSER", "default", "-set"]).await;
    let forbidden = refusal().await;
    assert!(forbidden.code() == Some("NOPERM") && forbidden.to_string().contains("set"), "{forbidden}");
    assert!(client.availability().is_available());
}

/// Directives that make a server load slowly while it answers its clients.
const SLOW: [(&str, &str); 3] =
    [("key-load-delay", "100"), ("loading-process-events-interval-bytes", "1024"), ("enable-debug-command", "yes")];
const MANY_KEYS: &str = "for i = 1, 200000 do redis.call('SET', 'key-' .. i, i) end";

async fn slow_server() -> RedisServer {
    let server = SLOW.iter().fold(RedisServer::builder(), |builder, (name, value)| builder.set(name, value));
    let server = server.start().await;
    server.cli(&["EVAL", MANY_KEYS, "0"]).await;
    server
}

async fn until_loading(client: &Client) {
    let is_loading = async || {
        let Diagnosis { answers, reason } = client.diagnose().await?;
        (answers && reason.contains("LOADING")).then_some(())
    };
    poll_until(LONG, is_loading).await.unwrap();
}

async fn until_back(client: &Client) {
    poll_until(LONG, async || client.availability().is_available().then_some(())).await.unwrap();
    assert_eq!(client.diagnose().await, None);
    assert!(client.get("key-200000").await.unwrap().is_some());
}

#[tokio::test]
async fn a_server_that_loads_a_snapshot_is_loading_and_comes_back_by_itself() {
    let server = slow_server().await;
    let client = connect(&server).await;
    let meets = async || {
        let refusal = async || {
            let error = client.execute(Command::new("SET").key("key").arg("value")).await.err()?;
            (error.code() == Some("LOADING")).then_some(error)
        };
        let error = poll_until(LONG, refusal).await.unwrap();
        assert!(error.kind() == ErrorKind::Loading && error.is_transient() && !error.may_have_run(), "{error}");
        until_loading(&client).await;
        server.cli(&["CONFIG", "SET", "key-load-delay", "0"]).await;
    };
    let (reloaded, ()) = tokio::join!(server.cli(&["DEBUG", "RELOAD"]), meets());
    assert_eq!(reloaded, "OK");
    until_back(&client).await;
}

#[tokio::test]
async fn a_server_that_reads_a_long_append_only_file_after_a_crash_is_loading_and_no_silent_one() {
    let mut server = slow_server().await;
    let client = connect(&server).await;
    server.kill9();
    let port = server.port();
    let config = Config::parse(&server.url()).unwrap();
    let meets = async {
        until_unavailable(&client).await;
        until_loading(&client).await;
        // A process can start meanwhile, and its commands get the same error.
        let other = Client::connect(&config, Role::Durable).await.unwrap();
        let error = other.get("key-1").await.unwrap_err();
        assert_eq!((error.kind(), error.code()), (ErrorKind::Loading, Some("LOADING")), "{error}");
        redis_cli(port, &["CONFIG", "SET", "key-load-delay", "0"]).await;
    };
    tokio::join!(server.restart(), meets);
    until_back(&client).await;
}

/// The server answers and serves reads, so the breaker stays closed.
#[tokio::test]
async fn a_server_whose_snapshot_failed_says_that_it_takes_no_writes() {
    let server = RedisServer::builder().set("save", "3600 1").start().await;
    let client = connect(&server).await;
    client.execute(Command::new("SET").key("key").arg("before")).await.unwrap();
    let snapshot = async |status: &str| {
        server.cli(&["BGSAVE"]).await;
        let line = format!("rdb_last_bgsave_status:{status}");
        let is_over = async || server.cli(&["INFO", "persistence"]).await.contains(&line).then_some(());
        poll_until(LONG, is_over).await.unwrap();
    };
    // A file can't replace a directory, for any owner.
    let in_the_way = server.directory().join("dump.rdb");
    std::fs::create_dir(&in_the_way).unwrap();
    snapshot("err").await;

    let script = Script::new("set", "return redis.call('SET', KEYS[1], 'after')");
    let refusals = [
        client.execute(Command::new("SET").key("key").arg("after")).await.unwrap_err(),
        client.run(&script, &["key"], Vec::new()).await.unwrap_err(),
    ];
    for error in refusals {
        assert_eq!((error.code(), error.kind()), (Some("MISCONF"), ErrorKind::Refused), "{error}");
        assert!(error.is_transient() && !error.may_have_run() && !error.is_full(), "{error}");
    }
    assert_eq!(client.get("key").await.unwrap().as_deref(), Some(&b"before"[..]));
    let Diagnosis { answers, reason } = client.diagnose().await.unwrap();
    assert!(answers && reason.starts_with("MISCONF") && reason.contains("snapshot"), "{reason}");
    assert!(client.availability().is_available());

    std::fs::remove_dir(&in_the_way).unwrap();
    snapshot("ok").await;
    assert_eq!(client.diagnose().await, None);
    client.execute(Command::new("SET").key("key").arg("after")).await.unwrap();
}
