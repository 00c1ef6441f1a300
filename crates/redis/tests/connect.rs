//! Errors about a server or its address say how to fix them.

#![allow(clippy::unwrap_used, clippy::panic, reason = "in a test a panic is an answer")]

use std::time::Duration;

use tidegate_redis::{Client, Config, ConnectError, Role};
use tidegate_testkit::free_port;
use tidegate_testkit::redis::{Certificates, RedisServer};
use tokio::io::{AsyncBufRead, AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::net::TcpListener;

const LONG: Duration = Duration::from_secs(60);

async fn refusal(url: &str, role: Role) -> ConnectError {
    let config = Config::parse(url).unwrap();
    let error = tokio::time::timeout(LONG, Client::connect(&config, role)).await.unwrap().unwrap_err();
    let (shown, debugged) = (error.to_string(), format!("{error:?} {config:?} {config}"));
    assert!(!shown.contains("s3cret") && !debugged.contains("s3cret"), "{shown} {debugged}");
    error
}

#[tokio::test]
async fn nobody_listens_or_the_name_is_unknown() {
    let port = free_port();
    let error = refusal(&format!("redis://user:s3cret@127.0.0.1:{port}"), Role::Cache).await;
    assert!(matches!(error, ConnectError::Unreachable { .. }), "{error:?}");
    let text = error.to_string();
    assert!(text.contains(&format!("127.0.0.1:{port}")) && text.contains("refused"), "{text}");

    let error = refusal("redis://no-such-host.invalid", Role::Cache).await;
    assert!(matches!(error, ConnectError::Unreachable { .. }), "{error:?}");
    assert!(error.to_string().contains("no-such-host.invalid"), "{error}");
}

#[tokio::test]
async fn a_url_without_a_scheme_is_answered_with_what_one_looks_like() {
    for url in ["localhost:6379", ":s3cret@localhost", ""] {
        let error = Config::parse(url).unwrap_err().to_string();
        assert!(error.contains("has no scheme") && error.contains("redis://user:password@host:6379/0"), "{error}");
        assert!(!error.contains("s3cret") && !error.contains("(none)"), "{error}");
    }
}

#[tokio::test]
async fn the_login_is_refused() {
    let server = RedisServer::builder().password("right").start().await;
    for login in [":s3cret@", "", "nobody:s3cret@"] {
        let error = refusal(&format!("redis://{login}127.0.0.1:{}", server.port()), Role::Cache).await;
        assert!(matches!(error, ConnectError::Login { .. }), "{login}: {error:?}");
    }
    let config = Config::parse(&format!("redis://:right@127.0.0.1:{}", server.port())).unwrap();
    let client = Client::connect(&config, Role::Cache).await.unwrap();
    assert!(!format!("{client:?}").contains("right"));
}

#[tokio::test]
async fn the_durable_role_must_not_evict() {
    let server = RedisServer::builder()
        .set("maxmemory-policy", "allkeys-lru")
        .set("maxmemory", "100mb")
        .set("appendonly", "no")
        .start()
        .await;
    let error = refusal(&server.url(), Role::Durable).await;
    assert!(matches!(&error, ConnectError::Evicts { policy, .. } if policy == "allkeys-lru"), "{error:?}");
    let config = Config::parse(&server.url()).unwrap();
    assert_eq!(Client::connect(&config, Role::Cache).await.unwrap().warnings(), [""; 0]);
    let client = Client::connect(&config.allow_eviction(), Role::Durable).await.unwrap();
    // A warning about eviction, and one about the missing append-only file.
    assert_eq!(client.warnings().len(), 2, "{:?}", client.warnings());
}

#[tokio::test]
async fn a_replica_names_its_primary() {
    let primary = RedisServer::start().await;
    let replica = RedisServer::builder().replica_of(&primary).start().await;
    let error = refusal(&replica.url(), Role::Durable).await;
    let named = format!("127.0.0.1:{}", primary.port());
    assert!(matches!(&error, ConnectError::Replica { primary, .. } if *primary == named), "{error:?}");
}

#[tokio::test]
async fn a_cluster_is_not_a_single_server() {
    let single = RedisServer::start().await;
    let error = refusal(&format!("redis-cluster://127.0.0.1:{}", single.port()), Role::Cache).await;
    assert!(error.to_string().contains("redis://"), "{error}");
    let bus = free_port().to_string();
    let node = RedisServer::builder().set("cluster-enabled", "yes").set("cluster-port", &bus).start().await;
    let error = refusal(&node.url(), Role::Cache).await;
    assert!(error.to_string().contains("redis-cluster://"), "{error}");
}

/// A fake server that reports the given version and supports the client's first commands.
async fn old_server(version: &'static str, knows_hello: bool) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("redis://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut connection, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (reader, mut writer) = connection.split();
                let mut requests = BufReader::new(reader).lines();
                // Compares whole words: a client's name is random and may contain any of them.
                while let Some(words) = next_command(&mut requests).await {
                    let info = format!("# Server\r\nredis_version:{version}\r\nrole:master\r\n");
                    let reply = match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
                        ["HELLO", ..] if knows_hello => "%1\r\n+proto\r\n:3\r\n".to_owned(),
                        ["HELLO", ..] => "-ERR unknown command `HELLO`, with args beginning with: `3`, \r\n".to_owned(),
                        ["INFO", ..] => format!("${}\r\n{info}\r\n", info.len()),
                        ["CLIENT", "ID"] => ":7\r\n".to_owned(),
                        _ => "+OK\r\n".to_owned(),
                    };
                    if writer.write_all(reply.as_bytes()).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    url
}

/// The words of the next command in capitals. `None` after the client has disconnected.
async fn next_command(requests: &mut Lines<impl AsyncBufRead + Unpin>) -> Option<Vec<String>> {
    let line = requests.next_line().await.ok()??;
    let Some(count) = line.strip_prefix('*') else {
        return Some(line.split_whitespace().map(str::to_uppercase).collect());
    };
    let mut words = Vec::new();
    for _ in 0..count.parse::<usize>().ok()? {
        let _length = requests.next_line().await.ok()??;
        words.push(requests.next_line().await.ok()??.to_uppercase());
    }
    Some(words)
}

#[tokio::test]
async fn an_old_server_is_refused() {
    let error = refusal(&old_server("6.2.14", true).await, Role::Cache).await;
    assert!(matches!(&error, ConnectError::TooOld { version, .. } if version == "6.2.14"), "{error:?}");
    let error = refusal(&old_server("5.0.3", false).await, Role::Cache).await;
    assert!(matches!(error, ConnectError::TooOld { .. }), "{error:?}");
    // Valkey 8 reports this Redis version.
    let config = Config::parse(&old_server("7.2.4", true).await).unwrap();
    Client::connect(&config, Role::Cache).await.unwrap();
}

#[tokio::test]
async fn tls_and_plain_text_are_told_apart() {
    let certificates = Certificates::generate();
    let (plain, secret) = (RedisServer::start().await, RedisServer::builder().tls(&certificates).start().await);
    let client = Client::connect(&Config::parse(&secret.url()).unwrap(), Role::Cache).await.unwrap();
    assert_eq!(client.get("nothing").await.unwrap(), None);

    let authority = certificates.authority();
    let url = format!("rediss://127.0.0.1:{}?ca={}", plain.port(), authority.display());
    let error = refusal(&url, Role::Cache).await;
    assert!(matches!(error, ConnectError::Tls { .. }), "TLS to a plain port: {error:?}");
    assert!(error.to_string().contains("redis://"), "{error}");

    let error = refusal(&format!("redis://127.0.0.1:{}", secret.port()), Role::Cache).await;
    assert!(error.to_string().contains("rediss://"), "plain text to a TLS port: {error}");

    // Its certificate is not signed by an authority that the system trusts.
    let error = refusal(&format!("rediss://127.0.0.1:{}", secret.port()), Role::Cache).await;
    assert!(matches!(error, ConnectError::Tls { .. } | ConnectError::Config(_)), "unknown authority: {error:?}");
}

#[tokio::test]
async fn a_server_that_says_nothing_is_given_up() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("redis://{}?connect_timeout=300ms", listener.local_addr().unwrap());
    let begin = tokio::time::Instant::now();
    let error = refusal(&url, Role::Cache).await;
    assert!(matches!(error, ConnectError::Unreachable { .. }), "{error:?}");
    assert!(begin.elapsed() < Duration::from_secs(5), "{:?}", begin.elapsed());
}
