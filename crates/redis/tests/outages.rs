//! Lost replies, crashed and hung servers: a command runs once, calls fail soon, and the client
//! recovers by itself.

#![allow(clippy::unwrap_used, clippy::panic, reason = "in a test a panic is an answer")]

use std::pin::Pin;
use std::time::Duration;

use tidegate_redis::{Client, Command, Config, ErrorKind, Role, Script};
use tidegate_testkit::poll_until;
use tidegate_testkit::redis::{Proxy, RedisServer};
use tokio::time::{Instant, sleep, timeout};

const LONG: Duration = Duration::from_secs(60);

const TIMEOUT: Duration = Duration::from_millis(300);

/// Returns whether the call succeeds.
type Calling = fn(&Client) -> Pin<Box<dyn Future<Output = bool> + '_>>;

async fn connect(url: &str) -> Client {
    Client::connect(&Config::parse(url).unwrap().command_timeout(TIMEOUT), Role::Durable).await.unwrap()
}

fn incr(key: &str) -> Command {
    Command::new("INCR").key(key)
}

async fn wait_until_available(client: &Client) {
    poll_until(LONG, async || client.availability().is_available().then_some(())).await.unwrap();
}

#[tokio::test]
async fn a_command_whose_reply_is_lost_runs_once_and_says_so() {
    let server = RedisServer::start().await;
    let proxy = Proxy::start(&server).await;
    let client = connect(&proxy.url()).await;
    for round in 1..=5 {
        wait_until_available(&client).await;
        proxy.drop_next_reply();
        let error = client.execute(incr("count")).await.unwrap_err();
        assert!(error.may_have_run(), "{error:?}");
        assert_eq!(proxy.dropped(), round);
        assert_eq!(server.cli(&["GET", "count"]).await, round.to_string());
    }
}

#[tokio::test]
async fn what_is_idempotent_is_sent_again() {
    let server = RedisServer::start().await;
    let proxy = Proxy::start(&server).await;
    let config = Config::parse(&proxy.url()).unwrap().command_timeout(Duration::from_secs(5));
    let client = Client::connect(&config, Role::Durable).await.unwrap();
    proxy.drop_next_reply();
    client.execute(Command::new("SET").key("a").arg("1").idempotent()).await.unwrap();
    assert_eq!(proxy.dropped(), 1);

    let once =
        Script::new("once", "redis.call('SET', KEYS[1], ARGV[1]) return redis.call('INCR', KEYS[2])").idempotent();
    client.run(&once, &["{s}a", "{s}runs"], vec!["1".into()]).await.unwrap();
    proxy.drop_next_reply();
    // It ran twice, which is allowed for an idempotent script.
    let runs = client.run(&once, &["{s}a", "{s}runs"], vec!["1".into()]).await.unwrap();
    assert_eq!((runs.as_int(), proxy.dropped()), (Ok(3), 2));
}

#[tokio::test]
async fn a_script_that_is_not_known_is_sent_whole() {
    let mut server = RedisServer::start().await;
    let client = connect(&server.url()).await;
    let add = Script::new("add", "return redis.call('INCRBY', KEYS[1], ARGV[1])");
    assert_eq!(client.run(&add, &["sum"], vec![2_u64.into()]).await.unwrap().as_int(), Ok(2));
    assert_eq!(server.cli(&["SCRIPT", "FLUSH"]).await, "OK");
    assert_eq!(client.run(&add, &["sum"], vec![2_u64.into()]).await.unwrap().as_int(), Ok(4));
    server.kill9();
    server.restart().await;
    poll_until(LONG, async || client.get("sum").await.ok()).await.unwrap();
    assert_eq!(client.run(&add, &["sum"], vec![2_u64.into()]).await.unwrap().as_int(), Ok(6));
    let error = client.run(&add, &["a", "b"], Vec::new()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
}

#[tokio::test]
async fn a_dead_server_is_told_at_once_and_found_again() {
    let mut server = RedisServer::start().await;
    let client = connect(&server.url()).await;
    client.execute(incr("count")).await.unwrap();
    server.kill9();
    let begin = Instant::now();
    assert!(client.execute(incr("count")).await.is_err());
    assert!(begin.elapsed() < TIMEOUT * 3, "{:?}", begin.elapsed());
    let begin = Instant::now();
    for _ in 0..100 {
        assert_eq!(client.execute(incr("count")).await.unwrap_err().kind(), ErrorKind::Unavailable);
    }
    assert!(begin.elapsed() < Duration::from_millis(100), "{:?}", begin.elapsed());
    server.restart().await;
    wait_until_available(&client).await;
    assert_eq!(client.execute(incr("count")).await.unwrap().as_int(), Ok(2));
}

#[tokio::test]
async fn a_hung_server_costs_one_time_out() {
    let mut server = RedisServer::start().await;
    let client = connect(&server.url()).await;
    client.execute(incr("count")).await.unwrap();
    server.hang().await;
    let begin = Instant::now();
    assert_eq!(client.execute(incr("count")).await.unwrap_err().kind(), ErrorKind::Timeout);
    let first = begin.elapsed();
    assert!(first >= TIMEOUT && first < TIMEOUT * 2, "{first:?}");
    for _ in 0..20 {
        let begin = Instant::now();
        assert_eq!(client.execute(incr("count")).await.unwrap_err().kind(), ErrorKind::Unavailable);
        assert!(begin.elapsed() < Duration::from_millis(10), "{:?}", begin.elapsed());
    }
    server.resume();
    wait_until_available(&client).await;
    // The command that timed out ran when the server resumed: it can't be cancelled.
    assert_eq!(client.execute(incr("count")).await.unwrap().as_int(), Ok(3));
}

/// Otherwise every caller with a shorter time-out than the client's would wait during the whole
/// outage.
#[tokio::test]
async fn a_server_that_hangs_is_known_though_its_callers_gave_up_before() {
    let mut server = RedisServer::start().await;
    let client = connect(&server.url()).await;
    server.hang().await;
    let calls: [Calling; 3] = [
        |client| Box::pin(async move { client.get("count").await.is_ok() }),
        |client| Box::pin(async move { client.execute(incr("count")).await.is_ok() }),
        |client| Box::pin(async move { client.execute_on(&client.primaries()[0], incr("count")).await.is_ok() }),
    ];
    for call in calls {
        assert!(timeout(TIMEOUT / 6, call(&client)).await.is_err(), "nobody has waited for the time-out yet");
        assert!(client.availability().is_available());
        poll_until(LONG, async || (!client.availability().is_available()).then_some(())).await.unwrap();
        server.resume();
        wait_until_available(&client).await;
        server.hang().await;
    }
    server.resume();
}

/// Otherwise each outage would leave a connection with megabytes of buffers.
#[tokio::test]
async fn a_connection_that_nobody_got_is_closed() {
    let mut server = RedisServer::start().await;
    let client = connect(&server.url()).await;
    let before = server.cli(&["CLIENT", "LIST"]).await;
    let config = Config::parse(&format!("{}?connect_timeout=200ms", server.url())).unwrap();
    server.hang().await;
    for _ in 0..5 {
        assert!(Client::connect(&config, Role::Durable).await.is_err());
        assert!(timeout(TIMEOUT / 6, Client::connect(&config, Role::Durable)).await.is_err(), "its caller leaves");
    }
    server.resume();
    client.execute(incr("count")).await.unwrap();
    let mut last = String::new();
    let closed = poll_until(TIMEOUT * 20, async || {
        last = server.cli(&["CLIENT", "LIST"]).await;
        (last.lines().count() == before.lines().count()).then_some(())
    });
    assert!(closed.await.is_ok(), "{last}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_in_the_process_is_bounded() {
    let mut server = RedisServer::builder().set("appendonly", "no").start().await;
    let config = Config::parse(&server.url()).unwrap().command_timeout(LONG);
    let client = Client::connect(&config, Role::Durable).await.unwrap();
    server.hang().await;
    let payload = bytes::Bytes::from(vec![b'x'; 1024]);
    let sending = (0..100_000).map(|number| {
        let (client, payload) = (client.clone(), payload.clone());
        tokio::spawn(async move { client.execute(Command::new("SET").key(format!("k{number}")).arg(payload)).await })
    });
    let sending: Vec<_> = sending.collect();
    let mut busy = 0;
    poll_until(LONG, async || {
        busy = sending.iter().filter(|task| task.is_finished()).count();
        (busy > 0).then_some(())
    })
    .await
    .unwrap();
    server.resume();
    let mut kinds = std::collections::HashMap::new();
    for task in sending {
        let kind = task.await.unwrap().err().map(|error| error.kind());
        *kinds.entry(kind).or_insert(0_u32) += 1;
    }
    assert!(kinds[&Some(ErrorKind::Busy)] > 0 && kinds[&None] > 0, "{kinds:?}");
    assert!(
        kinds.keys().all(|kind| matches!(kind, None | Some(ErrorKind::Busy | ErrorKind::Unavailable))),
        "{kinds:?}"
    );
}

/// fred alone sends it whenever the server is back.
#[tokio::test]
async fn a_call_that_was_given_up_does_not_run_after_its_time_out() {
    let mut server = RedisServer::start().await;
    let client = connect(&server.url()).await;
    client.execute(incr("count")).await.unwrap();
    let mut given_up = 0;
    // A call waits for its connection only between the loss and the first attempt to reconnect.
    while given_up == 0 {
        server.kill9();
        sleep(Duration::from_millis(20)).await;
        while timeout(Duration::from_millis(2), client.execute(incr("count"))).await.is_err() {
            given_up += 1;
        }
        if given_up == 0 {
            server.restart().await;
            wait_until_available(&client).await;
        }
    }
    sleep(2 * TIMEOUT).await;
    server.restart().await;
    wait_until_available(&client).await;
    assert_eq!(client.execute(incr("count")).await.unwrap().as_int(), Ok(2), "{given_up} calls were given up");
}
