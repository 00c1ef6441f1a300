//! What is wrong with a server or its address is said so that one knows what to do.

mod support;

use std::time::Duration;

use support::{LONG, RedisServer};
use tidegate_redis::{Client, Config, ConnectError, Role};
use tidegate_testkit::{Scratch, free_port, poll_until};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

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
async fn the_login_is_refused() {
    let server = RedisServer::start_with(&["--requirepass", "right"]).await;
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
    let server = RedisServer::start_with(&["--maxmemory-policy", "allkeys-lru", "--maxmemory", "100mb"]).await;
    let error = refusal(&server.url(), Role::Durable).await;
    assert!(matches!(&error, ConnectError::Evicts { policy, .. } if policy == "allkeys-lru"), "{error:?}");
    let config = Config::parse(&server.url()).unwrap();
    assert_eq!(Client::connect(&config, Role::Cache).await.unwrap().warnings(), [""; 0]);
    let client = Client::connect(&config.allow_eviction(), Role::Durable).await.unwrap();
    // That it evicts, and that it keeps no file.
    assert_eq!(client.warnings().len(), 2, "{:?}", client.warnings());
}

#[tokio::test]
async fn a_replica_names_its_primary() {
    let primary = RedisServer::start().await;
    let port = primary.port().to_string();
    let replica = RedisServer::start_with(&["--replicaof", "127.0.0.1", &port]).await;
    let error = refusal(&replica.url(), Role::Durable).await;
    let named = format!("127.0.0.1:{port}");
    assert!(matches!(&error, ConnectError::Replica { primary, .. } if *primary == named), "{error:?}");
}

#[tokio::test]
async fn a_cluster_is_not_a_single_server() {
    let single = RedisServer::start().await;
    let error = refusal(&format!("redis-cluster://127.0.0.1:{}", single.port()), Role::Cache).await;
    assert!(error.to_string().contains("redis://"), "{error}");
    let bus = free_port().to_string();
    let node = RedisServer::start_with(&["--cluster-enabled", "yes", "--cluster-port", &bus]).await;
    let error = refusal(&node.url(), Role::Cache).await;
    assert!(error.to_string().contains("redis-cluster://"), "{error}");
}

/// A server that is as old as it says, and as far as the client asks.
async fn old_server(version: &'static str, knows_hello: bool) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("redis://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut connection, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut request = [0; 4096];
                while let Ok(length @ 1..) = connection.read(&mut request).await {
                    let text = String::from_utf8_lossy(&request[..length]).to_uppercase();
                    let info = format!("# Server\r\nredis_version:{version}\r\nrole:master\r\n");
                    let reply = if text.contains("HELLO") && knows_hello {
                        "%1\r\n+proto\r\n:3\r\n".to_owned()
                    } else if text.contains("HELLO") {
                        "-ERR unknown command `HELLO`, with args beginning with: `3`, \r\n".to_owned()
                    } else if text.contains("INFO") {
                        format!("${}\r\n{info}\r\n", info.len())
                    } else if text.contains("CLIENT") && text.contains("ID") {
                        ":7\r\n".to_owned()
                    } else {
                        "+OK\r\n".to_owned()
                    };
                    if connection.write_all(reply.as_bytes()).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    url
}

#[tokio::test]
async fn an_old_server_is_refused() {
    let error = refusal(&old_server("6.2.14", true).await, Role::Cache).await;
    assert!(matches!(&error, ConnectError::TooOld { version, .. } if version == "6.2.14"), "{error:?}");
    let error = refusal(&old_server("5.0.3", false).await, Role::Cache).await;
    assert!(matches!(error, ConnectError::TooOld { .. }), "{error:?}");
    // Valkey's way of saying that it is 8.
    let config = Config::parse(&old_server("7.2.4", true).await).unwrap();
    Client::connect(&config, Role::Cache).await.unwrap();
}

/// A server that speaks TLS, and one that doesn't, at the ports given back; and the authority's file.
async fn tls_server(scratch: &Scratch) -> (RedisServer, u16, String) {
    let (key, certificate) = (scratch.join("key.pem"), scratch.join("certificate.pem"));
    let (key, certificate) = (key.to_str().unwrap(), certificate.to_str().unwrap());
    let made = std::process::Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"])
        .args(["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"])
        .args(["-addext", "basicConstraints=critical,CA:FALSE", "-keyout", key, "-out", certificate])
        .output()
        .expect("openssl is needed");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let port = free_port();
    let port_text = port.to_string();
    let args =
        ["--tls-port", &port_text, "--tls-cert-file", certificate, "--tls-key-file", key, "--tls-auth-clients", "no"];
    let server = RedisServer::start_with(&args).await;
    (server, port, certificate.to_owned())
}

#[tokio::test]
async fn tls_and_plain_text_are_told_apart() {
    let scratch = Scratch::new();
    let (server, tls_port, authority) = tls_server(&scratch).await;
    let good = format!("rediss://127.0.0.1:{tls_port}?ca={authority}");
    let client =
        poll_until(LONG, async || Client::connect(&Config::parse(&good).unwrap(), Role::Cache).await.ok()).await;
    assert_eq!(client.unwrap().get("nothing").await.unwrap(), None);

    let error = refusal(&format!("rediss://127.0.0.1:{}?ca={authority}", server.port()), Role::Cache).await;
    assert!(matches!(error, ConnectError::Tls { .. }), "TLS to a plain port: {error:?}");
    assert!(error.to_string().contains("redis://"), "{error}");

    let error = refusal(&format!("redis://127.0.0.1:{tls_port}"), Role::Cache).await;
    assert!(error.to_string().contains("rediss://"), "plain text to a TLS port: {error}");

    // Nobody that the system believes has signed it.
    let error = refusal(&format!("rediss://127.0.0.1:{tls_port}"), Role::Cache).await;
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
