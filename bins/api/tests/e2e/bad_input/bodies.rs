//! Bodies that are too large, cut off, stalled, or of the wrong kind.

use std::convert::Infallible;

use futures_util::stream;
use reqwest::Body;
use tidegate_testkit::poll_until;
use tokio::io::AsyncWriteExt;

use super::{IMPORT, Target, as_json, connect, refused, rest};
use crate::harness::{DEADLINE, header, problem, schedule};

#[tokio::test]
async fn missing_and_wrong_content_types() {
    let target = Target::start().await;
    for content_type in ["text/plain", "application/x-www-form-urlencoded", "application/jsonp", "json", "text/csv"] {
        for request in target.json_routes() {
            let request = request.header("content-type", content_type).body("{}");
            refused(request, 415, "unsupported-media-type").await;
        }
    }
    for request in target.json_routes() {
        refused(request.body("{}"), 415, "unsupported-media-type").await;
    }
    for content_type in ["", "application/json", "text/csvx", "multipart/form-data; boundary=x"] {
        let request = target.post(IMPORT).header("content-type", content_type).body("title\n");
        refused(request, 415, "unsupported-media-type").await;
    }
    refused(target.post(IMPORT).body("title\n"), 415, "unsupported-media-type").await;
    target.is_unharmed().await;
}

#[tokio::test]
async fn encoded_bodies_are_refused_and_not_read_as_what_they_are_not() {
    let target = Target::start().await;
    for coding in ["gzip", "br", "Identity, gzip", "x", "zstd"] {
        for request in target.json_routes() {
            let request = as_json(request.header("content-encoding", coding), "{}");
            refused(request, 415, "unsupported-content-encoding").await;
        }
        let upload = target.post(IMPORT).header("content-type", "text/csv").header("content-encoding", coding);
        let answer = upload.body("title,starts_at,ends_at,recurrence,attendees\n").send().await.expect("an answer");
        assert_eq!(header(&answer, "accept-encoding"), "identity");
        problem(answer, 415, "unsupported-content-encoding").await;
    }
    let plain = target.post("/api/schedules").header("content-encoding", "identity");
    assert_eq!(plain.json(&schedule("as it is")).send().await.expect("an answer").status(), 201);
}

/// A body of that many bytes in pieces, whose length is not announced.
fn pieces(bytes: usize) -> Body {
    const PIECE: usize = 64 << 10;
    let pieces = std::iter::repeat_n(vec![b'x'; PIECE], bytes.div_ceil(PIECE));
    Body::wrap_stream(stream::iter(pieces.map(Ok::<_, Infallible>)))
}

#[tokio::test]
async fn a_body_of_a_hundred_megabytes() {
    let target = Target::start().await;
    let body = vec![b' '; 100 << 20];
    for request in target.json_routes() {
        let refusal = refused(as_json(request, body.clone()), 413, "too-large").await;
        assert!(refusal["detail"].as_str().unwrap().contains("1048576"), "{refusal}");
    }
    let refusal = refused(target.post(IMPORT).header("content-type", "text/csv").body(body), 413, "too-large").await;
    assert!(refusal["detail"].as_str().unwrap().contains("67108864"), "{refusal}");
    target.is_unharmed().await;
}

#[tokio::test]
async fn a_body_over_the_limit_whose_length_is_not_announced() {
    let target = Target::start_with(&[("TIDEGATE_HTTP_MAX_SIZE", "import=2MiB")]).await;
    for request in target.json_routes() {
        refused(as_json(request, pieces(20 << 20)), 413, "too-large").await;
    }
    // In CSV the same bytes are a wrong header, which is refused before their number is known.
    for (content_type, status, kind) in [("application/x-ndjson", 413, "too-large"), ("text/csv", 422, "bad-header")] {
        let upload = target.post(IMPORT).header("content-type", content_type).body(pieces(20 << 20));
        refused(upload, status, kind).await;
    }
    target.is_unharmed().await;
}

#[tokio::test]
async fn an_upload_that_is_cut_off_leaves_nothing() {
    let target = Target::start().await;
    for framing in ["content-length: 1000000", "transfer-encoding: chunked"] {
        let mut connection = connect(&target).await;
        let head =
            format!("POST {IMPORT} HTTP/1.1\r\nhost: localhost\r\nx-tenant-id: acme\r\ncontent-type: text/csv\r\n");
        let data = "title,starts_at,ends_at,recurrence,attendees\r\n";
        let chunk =
            if framing.contains("chunked") { format!("{:x}\r\n{data}\r\n", data.len()) } else { data.to_owned() };
        connection.write_all(format!("{head}{framing}\r\n\r\n{chunk}").as_bytes()).await.unwrap();
        let begun = poll_until(DEADLINE, async || (!target.spooled().is_empty()).then_some(()));
        begun.await.expect("the upload has begun");
        drop(connection);
        let gone = poll_until(DEADLINE, async || target.spooled().is_empty().then_some(()));
        gone.await.expect("nothing is left of it");
    }
    target.is_unharmed().await;
}

#[tokio::test]
async fn a_json_body_that_is_cut_off_changes_nothing() {
    let target = Target::start().await;
    let mut connection = connect(&target).await;
    let head =
        "POST /api/schedules HTTP/1.1\r\nhost: localhost\r\nx-tenant-id: acme\r\ncontent-type: application/json\r\n";
    connection.write_all(format!("{head}content-length: 500\r\n\r\n{{\"title\":").as_bytes()).await.unwrap();
    // Half closed: nothing more will come, and an answer could still be read.
    connection.shutdown().await.unwrap();
    let answer = rest(connection).await;
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 400"), "{answer}");
    target.is_unharmed().await;
}

#[tokio::test]
async fn a_body_that_stalls_is_not_waited_for() {
    let target = Target::start_with(&[("TIDEGATE_HTTP_TIMEOUTS", "request=200ms")]).await;
    let stalled = |path: &str, content_type: &str| {
        let body = Body::wrap_stream(stream::pending::<Result<Vec<u8>, Infallible>>());
        target.post(path).header("content-type", content_type).body(body)
    };
    refused(stalled("/api/schedules", "application/json"), 408, "too-slow").await;
    refused(stalled(IMPORT, "text/csv"), 408, "stalled").await;
    target.is_unharmed().await;
}

#[tokio::test]
async fn an_import_with_the_wrong_columns_is_refused_and_they_are_named() {
    let target = Target::start().await;
    let upload = |body: &'static [u8]| target.post(IMPORT).header("content-type", "text/csv").body(body);
    let wrong: [(&[u8], &[&str]); 7] = [
        (b"", &["empty", "title,starts_at,ends_at,recurrence,attendees"]),
        (b"\r\n\r\n", &["empty"]),
        (b"name,starts_at,ends_at,recurrence,attendees\n", &["name", "title"]),
        (b"title,starts_at\na,2030-01-07T09:00:00Z\n", &["ends_at", "recurrence", "attendees"]),
        (b"title,starts_at,ends_at,recurrence,attendees,colour\n", &["colour"]),
        (b"title,title,starts_at,ends_at,recurrence,attendees\n", &["title"]),
        (b"title;starts_at;ends_at;recurrence;attendees\n", &["title"]),
    ];
    for (file, names) in wrong {
        let body = refused(upload(file), 422, "bad-header").await;
        for name in names {
            assert!(body["detail"].as_str().unwrap().contains(name), "{name}: {body}");
        }
    }
    let not_text: [&[u8]; 4] = [b"\xff\xfe,a\n", b"\0\0\0\0", b"\"title\n", b"PK\x03\x04\x14\0\0\0\x08\0"];
    for file in not_text {
        refused(upload(file), 422, "bad-header").await;
    }
    let long: Vec<u8> = std::iter::repeat_n(b"column,".as_slice(), 100_000).flatten().copied().collect();
    refused(target.post(IMPORT).header("content-type", "text/csv").body(long), 422, "bad-header").await;
    target.is_unharmed().await;
}

#[tokio::test]
async fn a_form_that_breaks_off_is_not_called_too_large() {
    let target = Target::start().await;
    let host = target.api.url.trim_start_matches("http://").to_owned();
    let mut connection = connect(&target).await;
    let head = format!(
        "POST /dashboard/login HTTP/1.1\r\nhost: {host}\r\ncontent-type: application/x-www-form-urlencoded\r\n\
         transfer-encoding: chunked\r\n\r\n"
    );
    // The second chunk is none.
    connection.write_all((head + "6\r\ntoken=\r\nnone\r\n").as_bytes()).await.expect("a form");
    let answer = rest(connection).await;
    assert!(answer.starts_with("HTTP/1.1 400 ") && answer.contains("was aborted"), "{answer}");
    target.is_unharmed().await;
}
