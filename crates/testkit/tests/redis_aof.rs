//! A torn append-only file, and the server's behaviour with it.

use tidegate_testkit::redis::{AppendOnlyFile, Effect, RedisServer};

const POP_INTO_LEASE: &str =
    "local job = redis.call('LPOP', KEYS[1]); redis.call('HSET', KEYS[2], job, 'worker'); return job";

async fn pop(server: &RedisServer) -> String {
    server.cli(&["EVAL", POP_INTO_LEASE, "2", "list", "lease"]).await
}

async fn list(server: &RedisServer) -> Vec<String> {
    server.cli(&["LRANGE", "list", "0", "-1"]).await.lines().map(str::to_owned).collect()
}

fn names(file: &AppendOnlyFile) -> Vec<Vec<String>> {
    let name =
        |transaction: &tidegate_testkit::redis::Transaction| transaction.effects.iter().map(Effect::name).collect();
    file.transactions().iter().map(name).collect()
}

/// The server's fault that Tidegate's scripts must tolerate. Redis up to 8.6.3 and Valkey before
/// 9.1.2 have it.
#[tokio::test]
async fn a_torn_script_loses_what_it_removed_at_the_second_restart() {
    let mut server = RedisServer::start().await;
    server.cli(&["RPUSH", "list", "a", "b", "c", "d"]).await;
    assert_eq!(pop(&server).await, "a");
    server.kill9();
    let file = server.append_only_file();
    assert_eq!(names(&file), [vec!["RPUSH"], vec!["LPOP", "HSET"]]);
    assert!(file.ends_whole() && file.last().is_wrapped);
    file.tear_after(1);
    assert!(!server.append_only_file().last().is_whole);

    server.restart().await;
    assert_eq!(list(&server).await, ["a", "b", "c", "d"], "the torn script did not run");
    // The file still contains its first effect.
    assert_eq!(names(&server.append_only_file()), [vec!["RPUSH"], vec!["LPOP"]]);
    assert_eq!(pop(&server).await, "a");
    assert_eq!(list(&server).await, ["b", "c", "d"]);

    server.kill9();
    server.restart().await;
    assert_eq!(list(&server).await, ["c", "d"], "an element is gone that no client has been given");
    assert_eq!(server.cli(&["HGETALL", "lease"]).await, "a\nworker");
}

#[tokio::test]
async fn the_file_can_be_torn_at_every_byte_of_its_last_transaction() {
    let mut server = RedisServer::start().await;
    server.cli(&["RPUSH", "list", "a", "b"]).await;
    pop(&server).await;
    server.kill9();
    let file = server.append_only_file();
    let whole = std::fs::read(newest(&server)).unwrap();
    let last = file.last().clone();
    assert_eq!(last.bytes.end, whole.len());
    for cut in last.bytes.clone() {
        std::fs::write(newest(&server), &whole).unwrap();
        server.append_only_file().cut_at(cut);
        let torn = server.append_only_file();
        let kept = last.effects.iter().filter(|effect| effect.bytes().end <= cut).count();
        let found = torn.transactions().get(1).map_or(0, |transaction| transaction.effects.len());
        assert_eq!(found, kept, "cut at {cut}");
        assert!(torn.transactions().get(1).is_none_or(|transaction| !transaction.is_whole));
    }
}

#[tokio::test]
async fn a_file_that_is_torn_twice_in_a_row_shows_both_remains() {
    let mut server = RedisServer::start().await;
    server.cli(&["RPUSH", "list", "a", "b", "c"]).await;
    for _ in 0..2 {
        pop(&server).await;
        server.kill9();
        server.append_only_file().tear_after(2);
        server.restart().await;
        assert_eq!(list(&server).await, ["a", "b", "c"]);
    }
    let file = server.append_only_file();
    assert_eq!(names(&file), [vec!["RPUSH"], vec!["LPOP", "HSET"], vec!["LPOP", "HSET"]]);
    assert!(file.transactions()[1..].iter().all(|transaction| !transaction.is_whole));
}

/// Another effect of the same fault: a plain command has no `EXEC`, so it is queued after the torn
/// transaction.
#[tokio::test]
async fn a_plain_command_behind_a_torn_script_is_lost_until_another_transaction_is_whole() {
    for (later, kept) in [(false, ""), (true, "acknowledged")] {
        let mut server = RedisServer::start().await;
        server.cli(&["RPUSH", "list", "a", "b"]).await;
        pop(&server).await;
        server.kill9();
        server.append_only_file().tear_after(1);
        server.restart().await;
        assert_eq!(server.cli(&["SET", "plain", "acknowledged"]).await, "OK");
        if later {
            pop(&server).await;
        }
        server.kill9();
        server.restart().await;
        assert_eq!(server.cli(&["GET", "plain"]).await, kept, "another transaction: {later}");
    }
}

#[tokio::test]
async fn a_prefix_of_effects_is_replayed_on_an_empty_server() {
    let server = RedisServer::start().await;
    server.cli(&["RPUSH", "list", "a", "b"]).await;
    let before = server.append_only_file().effects();
    pop(&server).await;
    let script = server.effects_since(before.len());
    assert_eq!(format!("{script:?}"), "[LPOP list, HSET lease a worker]");
    let mut history = before;
    history.push(script[0].clone());
    server.replay(&history).await;
    assert_eq!(list(&server).await, ["b"]);
    assert_eq!(server.cli(&["EXISTS", "lease"]).await, "0");
}

fn newest(server: &RedisServer) -> std::path::PathBuf {
    server.directory().join("appendonlydir/appendonly.aof.1.incr.aof")
}
