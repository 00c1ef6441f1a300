//! An API that speaks TLS with a certificate of a private authority.

use tidegate_testkit::Scratch;
use tidegate_testkit::redis::Certificates;

use crate::harness::{Api, run, tidegate};

#[tokio::test]
async fn a_private_authority_is_trusted_where_it_is_named_and_nowhere_else() {
    let certificates = Certificates::generate();
    let file = |name: &str| certificates.authority().with_file_name(name).display().to_string();
    let variables = [("TIDEGATE_TLS_CERTIFICATE", &*file("server.pem")), ("TIDEGATE_TLS_KEY", &*file("server.key"))];
    let api = Api::start_with(&variables).await;
    assert!(api.url.starts_with("https://"), "{}", api.url);

    api.run(&["queue", "list"]).await.assert_failed(3, &["certificate", "--ca names the authority"]);
    let ended = api.run(&["queue", "list", "--ca", &file("ca.pem")]).await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let mut command = api.tidegate(&["queue", "list"]);
    command.env("TIDEGATE_CA", file("ca.pem"));
    assert_eq!(run(command).await.code, Some(0));
    let plain = api.url.replacen("https", "http", 1);
    assert_ne!(run(tidegate(&plain, &["queue", "list"])).await.code, Some(0));
}

#[tokio::test]
async fn a_file_that_holds_no_certificate_is_wrong_usage() {
    let scratch = Scratch::new();
    let empty = scratch.path().join("empty.pem");
    std::fs::write(&empty, "nothing").expect("a file");
    for file in [empty.to_str().expect("a text"), "/nowhere", "/"] {
        let ended = run(tidegate("https://127.0.0.1:1", &["queue", "list", "--ca", file])).await;
        ended.assert_failed(2, &["--ca", file]);
    }
}
