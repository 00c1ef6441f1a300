use reqwest::Method;
use serde_json::{Value, json};

use crate::{refuses, start};

#[tokio::test]
async fn a_leaderboard_refuses_names_points_and_cursors_that_cannot_be() {
    const MOST: i64 = (1 << 19) - 1;
    let example = start("leaderboard").await;
    let api = example.api();
    let award = (Method::POST, "/players/ada/awards");
    let points = |points: Value| json!({ "points": points });
    let refused = [
        (points(json!(-5)), (422, "points is -5")),
        (points(json!(0)), (422, "points is 0")),
        (points(json!(MOST + 1)), (422, "from 1 to 524287")),
        (points(json!(u64::MAX)), (422, "points: invalid value")),
        (points(json!("5")), (422, "points: invalid type")),
        (json!({}), (422, "missing field `points`")),
    ];
    for (body, why) in refused {
        refuses(api, award.clone(), Some("k"), body, why).await;
    }
    for key in [None, Some("")] {
        refuses(api, award.clone(), key, points(json!(5)), (400, "Idempotency-Key is missing")).await;
    }
    let long = format!("/players/{}/awards", "a".repeat(41));
    for path in ["/players/*/awards", "/players/a%0Ab/awards", "/players/%C3%A4/awards", &long] {
        refuses(api, (Method::POST, path), Some("k"), points(json!(5)), (422, "is no name: 1 to 40")).await;
    }
    for (path, why) in [
        ("/players/ada", (404, "there is no player `ada`")),
        ("/players/*begun", (404, "there is no player `*begun`")),
        ("/players/%FF", (400, "Invalid UTF-8 in `player`")),
        ("/board?after=", (400, "not a cursor")),
        ("/board?after=-1", (400, "not a cursor")),
        ("/board?after=fffffffffffffffffffffffffffffffff", (400, "not a cursor")),
    ] {
        refuses(api, (Method::GET, path), None, Value::Null, why).await;
    }
    let empty = api.get("/board").await.unwrap().expect(200).unwrap();
    assert_eq!(empty.body, json!({ "players": [], "next": null }));

    api.post("/players/ada/awards", Some("k"), &points(json!(MOST))).await.unwrap().expect(201).unwrap();
    refuses(api, award.clone(), Some("k"), points(json!(5)), (422, "used for another award")).await;
    refuses(api, award, Some("l"), points(json!(1)), (409, "`ada` would have 524288 points")).await;
    // The key of another player is another key, and a refused award has taken no number.
    let bob = api.post("/players/bob/awards", Some("k"), &points(json!(5))).await.unwrap().expect(201).unwrap();
    assert_eq!(bob.body, json!({ "player": "bob", "points": 5, "number": 2 }));
    let board = api.get("/board").await.unwrap();
    let players = json!([{ "player": "ada", "points": MOST }, { "player": "bob", "points": 5 }]);
    assert_eq!(board.body["players"], players);
}
