//! Exit codes, and what a person reads beside them.

use tidegate_testkit::{Scratch, free_port};

use crate::harness::{ADMIN, Api, READ, run, tidegate};

#[tokio::test]
async fn a_refusal_has_the_exit_code_of_its_kind_and_says_what_to_do_next() {
    let api = Api::start().await;

    let mut command = api.tidegate(&["queue", "list"]);
    command.env_remove("TIDEGATE_TOKEN");
    run(command).await.assert_failed(4, &["Unauthorized", "GET http://", "hint: set TIDEGATE_TOKEN"]);

    let mut command = api.tidegate(&["queue", "list"]);
    command.env("TIDEGATE_TOKEN", "no-such-token-0123456789");
    let ended = run(command).await;
    ended.assert_failed(4, &["hint: the server does not know this token"]);
    assert!(!ended.err.contains("no-such-token"), "{ended:?}");

    let mut command = api.tidegate(&["queue", "pause", "import"]);
    command.env("TIDEGATE_TOKEN", READ);
    run(command).await.assert_failed(4, &["POST http://", "403", "hint: use the admin token"]);

    api.run(&["queue", "show", "nope"]).await.assert_failed(1, &["Not Found", "no queue `nope`", "request "]);
    api.run(&["job", "show", "import", "nope"]).await.assert_failed(1, &["no job `nope`"]);
    api.run(&["job", "list", "import", "--limit", "5000"]).await.assert_failed(1, &["422", "from 1 to 200"]);
    api.run(&["limit", "show", "nope"]).await.assert_failed(1, &["no limiter `nope`", "api"]);
    api.run(&["job", "delete", "import", "gone", "lost"]).await.assert_failed(1, &["`gone`", "`lost`"]);
    api.run(&["log", "set", "debug", "--for", "2d"]).await.assert_failed(1, &["422", "minutes"]);
}

#[tokio::test]
async fn a_server_that_is_not_there_is_exit_code_3() {
    let url = format!("http://127.0.0.1:{}", free_port());
    run(tidegate(&url, &["queue", "list"])).await.assert_failed(3, &["refused", "hint: is tidegate-api running"]);
    run(tidegate(&url, &["health"])).await.assert_failed(3, &["refused"]);
    let ended = run(tidegate(&url, &["queue", "pause", "import"])).await;
    ended.assert_failed(3, &["refused"]);
    assert!(!ended.err.contains("may have been carried out"), "{ended:?}");
    // It does not wait for a server that it never reached.
    run(tidegate(&url, &["alert", "tail", "--for", "1h"])).await.assert_failed(3, &["refused"]);
}

#[tokio::test]
async fn an_address_that_is_none_is_wrong_usage() {
    for url in ["localhost:8080", "ftp://host", "http://", "http://a:secret@host", "http://host?x=secret", "\u{1f30a}"]
    {
        let ended = run(tidegate(url, &["queue", "list"])).await;
        ended.assert_failed(2, &["TIDEGATE_URL"]);
        assert!(!ended.err.contains("secret"), "{ended:?}");
    }
    run(tidegate("http://127.0.0.1:1", &["--url", "", "queue", "list"])).await.assert_failed(2, &["--url"]);
}

#[tokio::test]
async fn the_token_comes_from_a_variable_or_a_file() {
    let (api, scratch) = (Api::start().await, Scratch::new());
    let file = scratch.path().join("token");
    std::fs::write(&file, format!("{ADMIN}\n")).expect("a file");
    let path = file.to_str().expect("a text");
    let with = |variables: &[(&str, &str)], arguments: &[&str]| {
        let mut command = api.tidegate(arguments);
        command.env_remove("TIDEGATE_TOKEN").envs(variables.iter().copied());
        run(command)
    };

    assert_eq!(with(&[("TIDEGATE_TOKEN_FILE", path)], &["queue", "list"]).await.code, Some(0));
    assert_eq!(with(&[], &["queue", "list", "--token-file", path]).await.code, Some(0));
    let both = [("TIDEGATE_TOKEN", "other"), ("TIDEGATE_TOKEN_FILE", path)];
    with(&both, &["queue", "list"]).await.assert_failed(2, &["set only one"]);
    assert_eq!(with(&both, &["queue", "list", "--token-file", path]).await.code, Some(0));
    with(&[], &["queue", "list", "--token-file", "/nowhere"]).await.assert_failed(2, &["/nowhere"]);
    with(&[], &["queue", "list", "--token-file", "/"]).await.assert_failed(2, &["the token file /"]);
    std::fs::write(&file, "two\nlines of secret").expect("a file");
    let ended = with(&[], &["queue", "list", "--token-file", path]).await;
    ended.assert_failed(2, &["holds no token"]);
    assert!(!ended.err.contains("secret"), "{ended:?}");
}
