//! Each example with three processes, one of them killed each second, and a restart of Redis: what
//! must stay true stays true.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test ends where it is surprised")]

use std::time::Duration;

use tidegate_load::driver::{Driver, Mode};
use tidegate_load::{ExampleOptions, ExampleProcesses, faults, scenario};
use tidegate_testkit::scale;
use tokio::sync::oneshot;

/// Users at the same time. At full size, as many as the reference had.
fn users(name: &str) -> u64 {
    let full = match name {
        "coupons" | "time_sale" => 1_000,
        "checkout" => 100,
        _ => 16,
    };
    scale(16, full) as u64
}

/// Runs a scenario while processes are killed; every request is repeated until it is answered.
async fn holds_under_faults(name: &str) {
    let scenario = scenario::find(name).unwrap();
    let length = Duration::from_secs(scale(4, 60) as u64);
    let mut example =
        ExampleProcesses::start(&*scenario, ExampleOptions { processes: 3, embedded: false, fsync_always: true })
            .await
            .unwrap();
    let api = example.api().clone();
    api.retry(true);
    scenario.prepare(&api).await.unwrap();
    let driver = Driver::new(scenario.clone(), api.clone());

    let (stop, stopped) = oneshot::channel();
    let run = async {
        let run = driver.run(Mode::Closed { users: users(name) }, length, |_, _| {}).await;
        drop(stop);
        run
    };
    let (run, inflicted) = tokio::join!(run, faults::inflict(&mut example, length, stopped));

    let inflicted = inflicted.unwrap();
    assert!(inflicted.kills >= 2 && inflicted.redis_restarts == 1, "{inflicted:?}");
    for figures in &run.figures {
        println!("{name}: {} {}, {} errors, {inflicted:?}", figures.count, figures.operation, figures.errors);
        assert_eq!(figures.errors, 0, "{figures:?}");
    }
    for invariant in scenario.check(&api).await.unwrap() {
        println!("{}", invariant.says);
        assert!(invariant.held, "{}", invariant.says);
    }
}

/// On memory and SQLite, without faults.
async fn holds_embedded(name: &str) {
    let scenario = scenario::find(name).unwrap();
    let example =
        ExampleProcesses::start(&*scenario, ExampleOptions { processes: 1, embedded: true, fsync_always: false })
            .await
            .unwrap();
    scenario.prepare(example.api()).await.unwrap();
    let driver = Driver::new(scenario.clone(), example.api().clone());
    let run = driver.run(Mode::AtOnce { users: 200 }, Duration::ZERO, |_, _| {}).await;
    assert!(run.figures.iter().all(|figures| figures.errors == 0), "{:?}", run.figures);
    let invariants = scenario.check(example.api()).await.unwrap();
    assert!(invariants.iter().all(|invariant| invariant.held), "{invariants:?}");
}

macro_rules! scenarios {
    ($($name:ident)*) => {
        mod under_faults {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::holds_under_faults(stringify!($name)).await;
            })*
        }
        mod embedded {
            $(#[tokio::test]
            async fn $name() {
                super::holds_embedded(stringify!($name)).await;
            })*
        }
    };
}

scenarios! {
    checkout
    coupons
    exchange_rate
    leaderboard
    feed
    payment
    points
    product_page
    time_sale
    transfer
}
