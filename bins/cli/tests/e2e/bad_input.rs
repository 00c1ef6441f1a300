//! Arguments of an operator who means harm, or slips.

use crate::harness::Api;

/// Names that could lead a request to another place.
const NAMES: [&str; 12] = [
    "../../metrics",
    "a/b",
    "%2e%2e",
    "..%2f..",
    "?limit=1",
    "#x",
    "a b",
    "\u{1f30a}\u{202e}",
    "x\r\nX-Evil: 1",
    "\\..\\",
    ";",
    "-",
];

#[tokio::test]
async fn a_name_never_leads_a_request_elsewhere() {
    let api = Api::start().await;
    let long = "x".repeat(5_000);
    for name in NAMES.into_iter().chain([long.as_str()]) {
        for arguments in [["queue", "show", "--", name].as_slice(), &["job", "show", "--", "import", name]] {
            let ended = api.run(arguments).await;
            assert_eq!((ended.code, ended.out.as_str()), (Some(1), ""), "{arguments:?}: {ended:?}");
            let steers = |character: char| character != '\n' && character.is_control() || character == '\u{202e}';
            assert!(!ended.err.contains(steers), "{ended:?}");
        }
        let ended = api.run(&["cron", "delete", "--", name]).await;
        assert_eq!(ended.code, Some(1), "{ended:?}");
    }
    // A path can't hold them, or they belong to another route.
    for name in ["", ".", "..", "cron", "batches", "scans"] {
        assert_eq!(api.run(&["queue", "show", name]).await.code, Some(2), "{name}");
        assert_eq!(api.run(&["job", "delete", name, "jobs"]).await.code, Some(2), "{name}");
    }
    let huge = "x".repeat(100_000);
    api.run(&["job", "show", "import", &huge]).await.assert_failed(2, &["can't be sent"]);
}

#[tokio::test]
async fn numbers_times_and_json_that_are_none_are_wrong_usage() {
    let api = Api::start().await;
    let wrong: [&[&str]; 16] = [
        &["job", "list", "import", "--limit", "99999999999999999999999"],
        &["job", "list", "import", "--limit=-1"],
        &["job", "list", "import", "--state", "asleep"],
        &["job", "enqueue", "import"],
        &["job", "enqueue", "import", "--payload", "{"],
        &["job", "enqueue", "import", "--payload-file", "/nowhere"],
        &["job", "enqueue", "import", "--payload", "1", "--priority", "5"],
        &["job", "enqueue", "import", "--payload", "1", "--delay", "soon"],
        &["job", "enqueue", "import", "--payload", "1", "--key", "a\nb"],
        &["job", "enqueue", "import", "--payload", "1", "--id", "a", "--key", "b"],
        &["limit", "block", "api", "x", "--for", "999999999999999999999y"],
        &["silence", "add", "p99", "--for", "90s", "--reason", "x"],
        &["queue", "list", "--timeout", "0s"],
        &["cache", "purge"],
        &["cache", "purge", "--all", "--tag", "x"],
        &["queue"],
    ];
    for arguments in wrong {
        let ended = api.run(arguments).await;
        assert_eq!(ended.code, Some(2), "{arguments:?}: {ended:?}");
        assert_eq!(ended.out, "", "{arguments:?}");
    }
    // What only the server can judge.
    for arguments in [
        ["limit", "block", "api", "", "--for", "1s"].as_slice(),
        &["limit", "block", "ddos", "203.0.113.0/24", "--for", "1s"],
        &["limit", "quota", "api", "\u{221e}/minute"],
        &["limit", "tenant", "\u{1f30a}", "--per-minute", "18446744073709551615"],
        &["cache", "purge", "--tag", ""],
        &["job", "enqueue", "import", "--payload", "1", "--kind", ""],
        &["job", "enqueue", "import", "--payload", "1", "--delay", "1000y"],
        &["tenant", "create", "a/b"],
        &["silence", "add", "", "--for", "1m", "--reason", " "],
    ] {
        let ended = api.run(arguments).await;
        ended.assert_failed(1, &[]);
        assert_eq!(ended.out, "", "{arguments:?}");
    }
}

#[tokio::test]
async fn a_change_of_many_things_needs_yes_without_a_terminal() {
    let api = Api::start().await;
    for arguments in [
        ["queue", "drain", "import"].as_slice(),
        &["queue", "retry-dead", "import"],
        &["queue", "clean", "import", "--state", "done"],
        &["cache", "purge", "--all"],
        &["cache", "purge", "--class", "schedule"],
        &["cache", "purge", "--pattern", "schedule:*"],
    ] {
        api.run(arguments).await.assert_failed(2, &["Add --yes"]);
        let ended = api.run(&[arguments, &["--yes"]].concat()).await;
        assert_eq!(ended.code, Some(0), "{ended:?}");
    }
}
