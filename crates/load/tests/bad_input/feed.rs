use std::time::Duration;

use reqwest::Method;
use serde_json::json;
use tidegate_testkit::poll_until;

use crate::{refuses, start};

#[tokio::test]
async fn a_feed_refuses_texts_users_and_cursors_that_cannot_be() {
    let example = start("feed").await;
    let api = example.api();
    for path in ["/users/ada", "/users/bob", "/users/bob/following/ada"] {
        api.send(Method::PUT, path, None, None).await.unwrap().expect(201).unwrap();
    }
    let write = (Method::POST, "/users/ada/posts");
    let text = |text: &str| json!({ "text": text });
    let refused = [
        (text(""), (422, "from 1 to 280 characters")),
        (text("  \n"), (422, "not blank")),
        (text("a\0b"), (422, "from 1 to 280 characters")),
        (text(&"é".repeat(281)), (422, "from 1 to 280 characters")),
        (json!({ "text": 5 }), (422, "text: invalid type")),
        (json!({}), (422, "missing field `text`")),
    ];
    for (body, why) in refused {
        refuses(api, write.clone(), Some("k"), body, why).await;
    }
    for key in [None, Some("")] {
        refuses(api, write.clone(), key, text("hello"), (400, "Idempotency-Key is missing")).await;
    }
    for (method, path, why) in [
        (Method::POST, "/users/nobody/posts", (404, "there is no user `nobody`")),
        (Method::PUT, "/users/nobody/following/ada", (404, "there is no user `nobody`")),
        (Method::PUT, "/users/ada/following/nobody", (404, "there is no user `nobody`")),
        (Method::PUT, "/users/ada/following/ada", (422, "`ada` can't follow itself")),
        (Method::PUT, "/users/ada%00", (400, "no character NUL")),
        (Method::PUT, "/users/%FF", (400, "Invalid UTF-8 in `user`")),
        (Method::DELETE, "/users/nobody/feed", (404, "there is no user `nobody`")),
        (Method::GET, "/users/nobody/feed", (404, "there is no user `nobody`")),
        (Method::GET, "/users/bob/feed?before=0", (400, "before is from 1 to")),
        (Method::GET, "/users/bob/feed?before=-1", (400, "before is from 1 to")),
        (Method::GET, "/users/bob/feed?before=9007199254740991", (400, "before is from 1 to 4503599627370496")),
        (Method::GET, "/users/bob/feed?before=x", (400, "before: invalid digit")),
        (Method::GET, "/users/bob/feed?limit=0", (400, "limit from 1 to 1000")),
        (Method::GET, "/users/bob/feed?limit=1001", (400, "limit from 1 to 1000")),
    ] {
        refuses(api, (method, path), Some("k"), text("hello"), why).await;
    }
    let feed = async || api.get("/users/bob/feed").await.unwrap().expect(200).unwrap().body;
    assert_eq!(feed().await, json!({ "posts": [], "next": null }));

    let longest = text(&"é".repeat(280));
    let post = api.post("/users/ada/posts", Some("k"), &longest).await.unwrap().expect(201).unwrap();
    let post = post.number("post").unwrap();
    refuses(api, write, Some("k"), text("hello"), (422, "was used for another post")).await;
    // Keys belong to their author.
    api.post("/users/bob/posts", Some("k"), &text("hello")).await.unwrap().expect(201).unwrap();
    let only = json!({ "posts": [{ "id": post, "author": "ada", "text": longest["text"] }], "next": null });
    poll_until(Duration::from_secs(10), async || (feed().await == only).then_some(())).await.unwrap();
}
