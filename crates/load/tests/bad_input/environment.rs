use std::time::Duration;

use tidegate_testkit::{Process, binary};

#[tokio::test]
async fn an_example_that_has_one_of_two_servers_does_not_start() {
    // No server listens there: none is needed to see that the other one is missing.
    let servers = [("REDIS_URL", "redis://127.0.0.1:1"), ("DATABASE_URL", "postgres://postgres@127.0.0.1:1/postgres")];
    for name in ["coupons", "feed", "leaderboard", "payment", "product_page"] {
        for (variable, url) in servers {
            let process = Process::builder(binary(&format!("examples/{name}"))).env("PORT", "0");
            let mut process = process.env(variable, url).start().unwrap();
            let status = process.wait_for_exit(Duration::from_secs(30)).await.unwrap();
            assert!(!status.success(), "{name} with {variable} ended with {status}");
            let reason = format!("set both REDIS_URL and DATABASE_URL, or neither: {variable} is set alone");
            assert!(process.log().find(|line| line.contains(&reason)).is_some(), "{:?}", process.log().lines());
        }
    }
}
