//! Logins that fail, and many at once.

use std::fs;
use std::time::Duration;

use futures_util::future::join_all;
use reqwest::Method;
use tokio::time::Instant;

use super::{PASSWORD, cookie, login, status, tenant, user};
use crate::harness::{Api, problem};
use crate::start::{ADMIN, TOKENS};

/// Attempts of each sort.
const TRIES: usize = 9;

#[tokio::test]
async fn an_unknown_mail_takes_as_long_as_a_wrong_password() {
    let api = Api::start_with(&TOKENS).await;
    let key = tenant(&api, "acme", "free").await;
    user(&api, "acme", &key, "ada@example.org").await;
    let time = async |tenant: &str, email: &str| {
        let begun = Instant::now();
        let answer = login(&api, tenant, email, "a wrong password").send().await.unwrap();
        let took = begun.elapsed();
        let said = problem(answer, 401, "unauthorized").await;
        (took, said["detail"].as_str().unwrap().to_owned())
    };
    let (mut wrong, mut unknown, mut nowhere) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..TRIES {
        wrong.push(time("acme", "ada@example.org").await);
        unknown.push(time("acme", "nobody@example.org").await);
        nowhere.push(time("nobody", "ada@example.org").await);
    }
    let median = |times: &mut Vec<(Duration, String)>| {
        times.sort_unstable();
        times[TRIES / 2].0
    };
    assert!(unknown.iter().chain(&nowhere).all(|(_, said)| *said == wrong[0].1), "{unknown:?} {nowhere:?}");
    let [wrong, unknown, nowhere] = [&mut wrong, &mut unknown, &mut nowhere].map(median);
    println!("wrong password {wrong:?}, unknown e-mail {unknown:?}, unknown tenant {nowhere:?}");
    for other in [unknown, nowhere] {
        // A look into a table takes a tenth of it.
        assert!(other * 2 > wrong && other < wrong * 2, "{wrong:?} {other:?}");
    }
}

#[tokio::test]
async fn an_account_is_closed_to_an_address_after_five_wrong_passwords_and_not_by_right_ones() {
    let api = Api::start_with(&[("TIDEGATE_ADMIN_TOKEN", ADMIN)]).await;
    let key = tenant(&api, "acme", "free").await;
    user(&api, "acme", &key, "ada@example.org").await;
    user(&api, "acme", &key, "bob@example.org").await;
    let ada = |password: &'static str| login(&api, "acme", "ada@example.org", password);
    for _ in 0..7 {
        assert_eq!(status(ada(PASSWORD)).await, 201);
    }
    for _ in 0..5 {
        assert_eq!(status(ada("a wrong password")).await, 401);
    }
    let refused = problem(ada("a wrong password").send().await.unwrap(), 429, "rate-limited").await;
    assert_eq!(refused["limiter"], "auth");
    // Otherwise it would reveal whether the last guess was right.
    problem(ada(PASSWORD).send().await.unwrap(), 429, "rate-limited").await;
    problem(login(&api, "acme", "ADA@example.org", PASSWORD).send().await.unwrap(), 429, "rate-limited").await;
    assert_eq!(status(login(&api, "acme", "bob@example.org", PASSWORD)).await, 201);

    let unblock = "/api/rate-limit?limiter=auth&key=127.0.0.1%7Cacme%2Fada@example.org";
    let answer = api.request(Method::DELETE, unblock).bearer_auth(ADMIN).send().await.unwrap();
    assert!(answer.status().is_success(), "{answer:?}");
    assert_eq!(status(ada(PASSWORD)).await, 201);
}

/// The most memory that a process has had, in bytes.
fn peak(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("Linux says it");
    let kilobytes = line.trim().strip_suffix(" kB").and_then(|text| text.parse::<u64>().ok()).expect("a number of kB");
    kilobytes * 1024
}

#[tokio::test]
async fn a_hundred_logins_take_no_two_gigabytes() {
    let variables = [&TOKENS[..], &[("TIDEGATE_LIMIT_API", "100000/minute")]].concat();
    let api = Api::start_with(&variables).await;
    let key = tenant(&api, "acme", "free").await;
    user(&api, "acme", &key, "ada@example.org").await;
    let before = peak(api.process.pid().expect("it runs"));
    let logins = (0..100).map(|number| {
        let email = if number % 2 == 0 { "ada@example.org".to_owned() } else { format!("nobody{number}@example.org") };
        status(login(&api, "acme", &email, PASSWORD))
    });
    let answers = join_all(logins).await;
    let count = |status: u16| answers.iter().filter(|answer| **answer == status).count();
    assert_eq!((count(201), count(401)), (50, 50), "{answers:?}");
    let more = peak(api.process.pid().expect("it runs")) - before;
    println!("a hundred logins at once took {} MiB more", more >> 20);
    // Each on its own takes 19 MiB.
    let cores = std::thread::available_parallelism().map_or(1, usize::from) as u64;
    assert!(more < (cores * 20 + 200) << 20, "{} MiB", more >> 20);
}

#[tokio::test]
async fn a_users_limit_follows_the_tier_of_its_tenant() {
    let variables = [("TIDEGATE_ADMIN_TOKEN", ADMIN), ("TIDEGATE_LIMIT_API", "5/day")];
    let api = Api::start_with(&variables).await;
    for (id, tier, expected) in [("small", "free", 429), ("basic", "basic", 200)] {
        let key = tenant(&api, id, tier).await;
        user(&api, id, &key, "ada@example.org").await;
        let cookie = cookie(&api, id, "ada@example.org", PASSWORD).await;
        let show = || api.request(Method::GET, "/api/session").header("cookie", &cookie);
        for number in 1..=5 {
            assert_eq!(status(show()).await, 200, "request {number} of {id}");
        }
        assert_eq!(status(show()).await, expected, "{id}");
    }
}
