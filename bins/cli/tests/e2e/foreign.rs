//! Servers that are no Tidegate, or a broken one.

use crate::harness::{ADMIN, Ended, run, tidegate};
use crate::server::{Server, Then, answer};

const HTML: &str = "<html><body>\u{1b}[2JWelcome</body></html>";

async fn answered(text: &str, arguments: &[&str]) -> Ended {
    let server = Server::start(&[text], Then::Close).await;
    run(tidegate(&server.url, arguments)).await
}

#[tokio::test]
async fn a_page_in_place_of_an_answer_is_a_failure_of_the_server() {
    let page = answer("200 OK", "text/html", HTML);
    for arguments in
        [["queue", "list"].as_slice(), &["queue", "list", "--json"], &["health"], &["metrics"], &["alert", "tail"]]
    {
        let ended = answered(&page, arguments).await;
        ended.assert_failed(5, &["not Tidegate's", "hint: check --url"]);
        assert!(ended.out.is_empty() && !ended.err.contains('\u{1b}'), "{ended:?}");
    }
    answered(&answer("404 Not Found", "text/html", HTML), &["queue", "list"])
        .await
        .assert_failed(1, &["not Tidegate's"]);
    answered(&answer("502 Bad Gateway", "text/html", HTML), &["queue", "list"]).await.assert_failed(5, &["502"]);
    answered(&answer("200 OK", "application/json", ""), &["queue", "list"]).await.assert_failed(5, &["empty"]);
}

#[tokio::test]
async fn a_server_that_hangs_is_given_up_in_time() {
    let half = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{";
    for text in ["", "HTTP/1.1 2", half] {
        let server = Server::start(&[text], Then::Hang).await;
        let ended = run(tidegate(&server.url, &["queue", "list", "--timeout", "300ms"])).await;
        ended.assert_failed(3, &["no answer within 300ms", "--timeout"]);
        assert!(!ended.err.contains("may have been carried out"), "{ended:?}");
        let ended = run(tidegate(&server.url, &["queue", "pause", "import", "--timeout", "300ms"])).await;
        ended.assert_failed(3, &["may have been carried out"]);
    }
    let server = Server::start(&[""], Then::Hang).await;
    let ended = run(tidegate(&server.url, &["alert", "tail", "--timeout", "300ms"])).await;
    ended.assert_failed(3, &["no answer within 300ms"]);
}

#[tokio::test]
async fn a_connection_that_breaks_is_exit_code_3() {
    let half = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{";
    for text in ["", "SSH-2.0-OpenSSH_9.2\r\n", half, "HTTP/1.1 200 OK\r\ncontent-length: x\r\n\r\n"] {
        answered(text, &["queue", "list"]).await.assert_failed(3, &["GET http://"]);
    }
}

#[tokio::test]
async fn a_redirect_is_not_followed_and_gets_no_token() {
    let other = Server::start(&[&answer("200 OK", "application/json", "{}")], Then::Close).await;
    let redirect =
        format!("HTTP/1.1 302 Found\r\nlocation: {}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n", other.url);
    let server = Server::start(&[&redirect], Then::Close).await;
    run(tidegate(&server.url, &["queue", "list"])).await.assert_failed(1, &["302", "redirects are not followed"]);
    assert!(server.requests()[0].contains(ADMIN), "the named server gets the token");
    assert_eq!(other.requests(), [""; 0]);
}

#[tokio::test]
async fn json_of_another_shape_is_shown_as_far_as_it_goes() {
    let bodies = [
        "null",
        "7",
        "[]",
        "[1,[2]]",
        r#"{"items":7}"#,
        r#"{"items":[null,{"queue":{"a":[1]}}],"next_cursor":"a\u001b[2J"}"#,
    ];
    for body in bodies {
        for arguments in [
            ["cron", "list"].as_slice(),
            &["queue", "show", "import"],
            &["performance", "show", "x"],
            &["advice", "list"],
        ] {
            let ended = answered(&answer("200 OK", "application/json", body), arguments).await;
            assert_eq!(ended.code, Some(0), "{body}: {ended:?}");
            assert!(!ended.out.contains('\u{1b}') && !ended.err.contains('\u{1b}'), "{ended:?}");
        }
        answered(&answer("200 OK", "application/json", body), &["queue", "drain", "import", "-y"])
            .await
            .assert_failed(5, &["it has no `moved`"]);
        let ended = answered(&answer("200 OK", "application/json", body), &["queue", "list"]).await;
        let has_items = body.contains("next_cursor");
        assert_eq!(ended.code, Some(if has_items { 0 } else { 5 }), "{body}: {ended:?}");
    }
    let deep = "[".repeat(100_000);
    answered(&answer("200 OK", "application/json", &deep), &["queue", "list"]).await.assert_failed(5, &[]);
}

#[tokio::test]
async fn a_change_of_many_jobs_goes_on_until_nothing_is_left() {
    let step = |moved: u64, more: bool| {
        let body = format!(r#"{{"queue":"import","moved":{moved},"more":{more}}}"#);
        answer("200 OK", "application/json", &body)
    };
    let server = Server::start(&[&step(500, true), &step(7, false)], Then::Close).await;
    let ended = run(tidegate(&server.url, &["queue", "drain", "import", "--yes"])).await;
    assert_eq!((ended.code, ended.out.as_str()), (Some(0), "cancelled 507 jobs of import\n"), "{ended:?}");
    let ended = answered(&step(500, true), &["queue", "retry-dead", "import", "--yes"]).await;
    ended.assert_failed(1, &["repeat the command"]);
    // A server that always says so is not asked for ever.
    let server = Server::start(&[&step(0, true)], Then::Close).await;
    let ended = run(tidegate(&server.url, &["queue", "drain", "import", "--yes"])).await;
    assert_eq!((ended.code, server.requests().len()), (Some(0), 1), "{ended:?}");
}

#[tokio::test]
async fn a_problem_is_shown_without_what_would_steer_the_terminal() {
    let problem = r#"{"title":"Too\u001b[2J Many","detail":"wait\u202e","status":429}"#;
    let head = "HTTP/1.1 429 Too Many Requests\r\nretry-after: 7\r\ncontent-type: application/problem+json\r\nconnection: close\r\n";
    let ended = answered(&format!("{head}\r\n{problem}"), &["queue", "list"]).await;
    ended.assert_failed(1, &["Too\\u{1b}[2J Many: wait\\u{202e}", "429", "hint: try again in 7 s"]);
}

#[tokio::test]
async fn health_ends_with_the_code_of_its_verdict() {
    for (status, body, code) in [
        ("200 OK", r#"{"status":"pass"}"#, 0),
        ("200 OK", r#"{"status":"warn","reasons":[{"component":"p99","message":"slow"}]}"#, 6),
        ("503 Service Unavailable", r#"{"status":"fail"}"#, 7),
        ("200 OK", r#"{"status":"odd"}"#, 5),
        ("503 Service Unavailable", r#"{"title":"x","detail":"overloaded"}"#, 5),
        ("404 Not Found", "", 1),
    ] {
        let ended = answered(&answer(status, "application/health+json", body), &["health"]).await;
        assert_eq!(ended.code, Some(code), "{body}: {ended:?}");
    }
}

#[tokio::test]
async fn health_is_read_through_a_proxy_that_hides_the_probes() {
    let [page, verdict] =
        [answer("404 Not Found", "text/html", HTML), answer("200 OK", "application/json", r#"{"status":"fail"}"#)];
    let server = Server::start(&[&page, &verdict], Then::Close).await;
    let ended = run(tidegate(&server.url, &["health"])).await;
    assert_eq!(ended.code, Some(7), "{ended:?}");
    assert!(server.requests()[1].starts_with("get /api/performance?type=health "), "{:?}", server.requests());
}
