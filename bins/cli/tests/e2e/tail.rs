//! Streams that are followed.

use tidegate_testkit::{Process, binary, poll_until};

use crate::harness::{ADMIN, Api, DEADLINE, run, tidegate};
use crate::server::{Server, Then};

const STREAM: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n";

#[tokio::test]
async fn job_tail_sees_a_job_that_is_enqueued() {
    let api = Api::start().await;
    let ended = api.run(&["job", "tail", "import", "--for", "1ms"]).await;
    assert!(ended.err.contains("keeps no events"), "{ended:?}");
    assert_eq!(api.run(&["queue", "set", "import", "--events", "on"]).await.code, Some(0));

    let arguments = ["job", "tail", "import", "--count", "1", "--url", &api.url];
    let tail = Process::builder(binary("tidegate")).args(arguments).env("TIDEGATE_TOKEN", ADMIN);
    let mut tail = tail.start().expect("it starts");
    // Nothing says that it listens, so jobs come until it has seen one.
    let enqueue = ["job", "enqueue", "import", "--kind", "tour", "--payload", "1", "--delay", "1h"];
    let seen = poll_until(DEADLINE, async || {
        assert_eq!(api.run(&enqueue).await.code, Some(0));
        tail.log().find(|line| line.ends_with("  enqueued")).map(drop)
    });
    seen.await.expect("the event of a job");
    assert!(tail.wait_for_exit(DEADLINE).await.expect("it ends after one event").success());
}

#[tokio::test]
async fn a_stream_that_ends_is_followed_again_behind_the_last_event() {
    let first = format!("{STREAM}retry: 1\nevent: alert\nid: a-7\ndata: {{\"seq\":7}}\n\n: ping\n\ndata: half");
    let second = format!("{STREAM}event: gap\ndata: {{\"missed\":1}}\n\n");
    let server = Server::start(&[&first, &second], Then::Close).await;
    let ended = run(tidegate(&server.url, &["alert", "tail", "--count", "2", "--json"])).await;
    let lines: Vec<_> = ended.out.lines().collect();
    let expected =
        [r#"{"event":"alert","id":"a-7","data":{"seq":7}}"#, r#"{"event":"gap","id":null,"data":{"missed":1}}"#];
    assert_eq!((ended.code, &lines[..]), (Some(0), expected.as_slice()), "{ended:?}");
    let requests = server.requests();
    assert!(!requests[0].contains("last-event-id"), "{requests:?}");
    assert!(requests[1].contains("last-event-id: a-7\r\n") && requests[1].contains(ADMIN), "{requests:?}");
}

#[tokio::test]
async fn a_stream_is_given_up_when_the_token_is_no_longer_known() {
    let first = format!("{STREAM}retry: 1\ndata: 1\n\n");
    let refusal = "HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
    let away = "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
    let server = Server::start(&[&first, away, refusal], Then::Close).await;
    let ended = run(tidegate(&server.url, &["event", "tail"])).await;
    assert_eq!((ended.code, server.requests().len()), (Some(4), 3), "{ended:?}");
    assert!(ended.err.contains("trying again in"), "{ended:?}");
}

#[tokio::test]
async fn a_stream_is_followed_for_the_time_that_was_given() {
    let server = Server::start(&[&format!("{STREAM}data: \u{1b}[2J\n\n: \u{1b}[2J hello\n\n")], Then::Hang).await;
    let ended = run(tidegate(&server.url, &["event", "tail", "--for", "500ms"])).await;
    assert_eq!((ended.code, ended.out.as_str()), (Some(0), "message  \\u{1b}[2J\n"), "{ended:?}");
    assert_eq!(ended.err, "note: \\u{1b}[2J hello\n");
}
