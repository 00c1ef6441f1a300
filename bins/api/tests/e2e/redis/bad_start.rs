//! Redis that can't be used: each reason has its own message, and nothing is written.

use std::path::Path;

use tidegate_testkit::redis::RedisServer;
use tidegate_testkit::{Scratch, free_port};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

use crate::harness::{DEADLINE, api, run, worker};

const SETTINGS: i32 = 2;
const REDIS: i32 = 5;
const LOGIN: i32 = 6;

/// Both binaries must refuse to start on that, with one line that names all of this.
async fn refused(variables: &[(&str, &str)], code: i32, names: &[&str]) {
    let data = Scratch::new();
    for program in [api(data.path(), variables), worker(data.path(), variables)] {
        let ended = run(program).await;
        assert_eq!(ended.code, Some(code), "{}{}", ended.out, ended.err);
        assert_eq!(ended.out, "");
        assert_eq!(ended.err.lines().count(), 1, "one line says it all:\n{}", ended.err);
        for name in names {
            assert!(ended.err.contains(name), "{name} is not named: {}", ended.err);
        }
        for fault in ["panicked", "hunter2", "Error {", "Some("] {
            assert!(!ended.err.contains(fault), "{}", ended.err);
        }
    }
    assert!(is_empty(data.path()), "nothing was written");
}

fn is_empty(directory: &Path) -> bool {
    std::fs::read_dir(directory).expect("a directory").next().is_none()
}

/// The URL of a server that may not exist, with a password that must not be shown.
fn url(scheme: &str, port: u16) -> String {
    format!("{scheme}://:hunter2@127.0.0.1:{port}")
}

#[tokio::test]
async fn a_url_of_something_else_is_a_wrong_setting_for_check_too() {
    let data = Scratch::new();
    for (url, wrong) in [
        ("http://:hunter2@127.0.0.1:6379", "`http` is no scheme"),
        (":hunter2@127.0.0.1:6379", "no scheme"),
        ("redis://:hunter2@127.0.0.1:none", "is not a host"),
        ("redis-sentinel://:hunter2@127.0.0.1:26379", "name of the primary"),
        ("redis-cluster://:hunter2@127.0.0.1:7000/3", "none in a cluster"),
        ("rediss://:hunter2@127.0.0.1:1?ca=/nowhere.pem", "/nowhere.pem"),
    ] {
        let variables = [("REDIS_URL", url)];
        refused(&variables, SETTINGS, &["redis.url", "REDIS_URL", wrong]).await;
        if wrong != "/nowhere.pem" {
            let checked = run(api(data.path(), &variables).arg("--check")).await;
            assert_eq!(checked.code, Some(SETTINGS), "{}", checked.err);
            assert!(checked.err.contains(wrong) && !checked.err.contains("hunter2"), "{}", checked.err);
        }
    }
    let prefix = [("REDIS_URL", "redis://127.0.0.1"), ("TIDEGATE_REDIS_PREFIX", "a:b")];
    refused(&prefix, SETTINGS, &["redis.prefix", "TIDEGATE_REDIS_PREFIX"]).await;
    let alone = [("REDIS_CACHE_URL", "redis://:hunter2@127.0.0.1")];
    refused(&alone, SETTINGS, &["redis.cache_url", "REDIS_URL"]).await;
}

/// Both binaries must wait for that server, and say in a line of the log what they wait for.
async fn waited_for(variables: &[(&str, &str)], names: &[&str]) {
    let data = Scratch::new();
    for program in [api(data.path(), variables), worker(data.path(), variables)] {
        let mut process = program.start().expect("it starts");
        let line = process.wait_for_line("waiting to start", DEADLINE).await.expect("what it waits for");
        for name in names {
            assert!(line.contains(name), "{name} is not named: {line}");
        }
        assert!(!line.contains("hunter2"), "{line}");
        assert!(process.stop().await.expect("it ends").success());
    }
    assert!(is_empty(data.path()), "nothing was written");
}

#[tokio::test]
async fn no_server_listens() {
    let port = free_port();
    let address = format!("127.0.0.1:{port}");
    for scheme in ["redis", "rediss", "redis-cluster"] {
        let variables = [("REDIS_URL", &*url(scheme, port))];
        waited_for(&variables, &["redis.url", "REDIS_URL", "can't reach", &address]).await;
    }
    let sentinel = url("redis-sentinel", port) + "/main";
    waited_for(&[("REDIS_URL", &sentinel)], &["redis.url", "can't reach", &address]).await;
    let server = RedisServer::start().await;
    let both = [("REDIS_URL", &*server.url()), ("REDIS_CACHE_URL", &*url("redis", port))];
    waited_for(&both, &["redis.cache_url", "REDIS_CACHE_URL", "can't reach", &address]).await;
}

#[tokio::test]
async fn a_wrong_password_and_none() {
    let server = RedisServer::builder().password("the-right-one").start().await;
    let none = format!("redis://127.0.0.1:{}", server.port());
    for url in [url("redis", server.port()), none] {
        refused(&[("REDIS_URL", &url)], LOGIN, &["redis.url", "refuses the login", "password"]).await;
    }
}

#[tokio::test]
async fn tls_to_a_port_that_speaks_plain_text() {
    let server = RedisServer::start().await;
    let url = format!("rediss://127.0.0.1:{}", server.port());
    refused(&[("REDIS_URL", &url)], REDIS, &["redis.url", "TLS", "redis://"]).await;
}

#[tokio::test]
async fn a_durable_server_that_evicts() {
    let server = RedisServer::builder().set("maxmemory-policy", "allkeys-lru").start().await;
    refused(&[("REDIS_URL", &server.url())], REDIS, &["redis.url", "allkeys-lru", "noeviction"]).await;
}

#[tokio::test]
async fn a_replica() {
    let primary = RedisServer::start().await;
    let replica = RedisServer::builder().replica_of(&primary).start().await;
    let at = format!("127.0.0.1:{}", primary.port());
    refused(&[("REDIS_URL", &replica.url())], REDIS, &["redis.url", "read-only replica", &at]).await;
}

#[tokio::test]
async fn a_cluster_where_there_is_none_and_none_where_there_is_one() {
    let server = RedisServer::start().await;
    let url = format!("redis-cluster://127.0.0.1:{}", server.port());
    refused(&[("REDIS_URL", &url)], REDIS, &["redis.url", "cluster"]).await;
}

#[tokio::test]
async fn a_server_older_than_seven() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("redis://{}", listener.local_addr().expect("an address"));
    let serving = tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(old_redis(stream));
        }
    });
    refused(&[("REDIS_URL", &url)], REDIS, &["redis.url", "6.2.14", "7.0"]).await;
    serving.abort();
}

/// Answers as Redis 6.2 does, as far as a start goes.
async fn old_redis(stream: TcpStream) {
    const HELLO: &str = "%4\r\n$6\r\nserver\r\n$5\r\nredis\r\n$7\r\nversion\r\n$6\r\n6.2.14\r\n$5\r\nproto\r\n:3\r\n\
        $4\r\nrole\r\n$6\r\nmaster\r\n";
    let (reader, mut writer) = stream.into_split();
    let mut reader = BufReader::new(reader);
    while let Some(words) = next_command(&mut reader).await {
        let answer = match words[0].to_ascii_uppercase().as_str() {
            "HELLO" => HELLO.to_owned(),
            "PING" => "+PONG\r\n".to_owned(),
            "INFO" => {
                let info = "# Server\r\nredis_version:6.2.14\r\n# Replication\r\nrole:master\r\n";
                format!("${}\r\n{info}\r\n", info.len())
            }
            _ => "+OK\r\n".to_owned(),
        };
        if writer.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
    }
}

/// The words of the next command; `None` when the client is gone.
async fn next_command(reader: &mut (impl AsyncBufReadExt + Unpin)) -> Option<Vec<String>> {
    let mut line = String::new();
    reader.read_line(&mut line).await.ok()?;
    // The greeting comes as it would be typed.
    let Some(count) = line.strip_prefix('*') else {
        return Some(line.split_whitespace().map(str::to_owned).collect::<Vec<_>>()).filter(|words| !words.is_empty());
    };
    let mut words = Vec::new();
    for _ in 0..count.trim().parse::<usize>().ok()? {
        let mut size = String::new();
        reader.read_line(&mut size).await.ok()?;
        let mut word = vec![0; size.strip_prefix('$')?.trim().parse::<usize>().ok()? + 2];
        reader.read_exact(&mut word).await.ok()?;
        word.truncate(word.len() - 2);
        words.push(String::from_utf8(word).ok()?);
    }
    Some(words)
}
