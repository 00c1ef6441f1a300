use std::time::Duration;

use tidegate_resilience::{CircuitBreaker, CircuitBreakers, Error, State};
use tokio::time::advance;

const OPEN: Duration = Duration::from_secs(30);

fn breakers(max_keys: usize) -> CircuitBreakers {
    CircuitBreaker::builder("webhook").consecutive_failures(5).open_for(OPEN).build_per_key(max_keys).unwrap()
}

async fn fail(breaker: &CircuitBreaker) -> Result<(), Error<&'static str>> {
    breaker.call(|| async { Err("refused") }).await
}

#[tokio::test(start_paused = true)]
async fn after_five_failures_one_try_in_half_a_minute_goes_through_for_that_key_only() {
    let breakers = breakers(10);
    for _ in 0..5 {
        assert_eq!(fail(&breakers.get("a")).await, Err(Error::Inner("refused")));
    }
    let refused = Err(Error::BreakerOpen { name: "webhook/a".into(), retry_in: Some(OPEN) });
    assert_eq!(fail(&breakers.get("a")).await, refused);
    assert_eq!(fail(&breakers.get("b")).await, Err(Error::Inner("refused")));
    advance(OPEN).await;
    assert_eq!(fail(&breakers.get("a")).await, Err(Error::Inner("refused")), "one probe");
    assert_eq!(fail(&breakers.get("a")).await, refused);
    advance(OPEN).await;
    assert_eq!(breakers.get("a").call(|| async { Ok::<_, &str>(()) }).await, Ok(()));
    assert_eq!(fail(&breakers.get("a")).await, Err(Error::Inner("refused")), "it counts anew");
    assert_eq!(breakers.get("a").state(), State::Closed);
}

#[tokio::test(start_paused = true)]
async fn keys_without_end_take_bounded_memory() {
    let breakers = breakers(1_000);
    for number in 0..2_000 {
        let _ = fail(&breakers.get(&number.to_string())).await;
    }
    assert!(breakers.len() <= 1_000);
}

#[tokio::test(start_paused = true)]
async fn a_new_key_beyond_the_cap_replaces_breakers_that_refuse_nothing() {
    let breakers = breakers(3);
    breakers.get("open").force_open();
    let _ = fail(&breakers.get("failed once")).await;
    drop(breakers.get("fresh"));
    for _ in 0..5 {
        let _ = fail(&breakers.get("new")).await;
    }
    assert_eq!(breakers.get("new").state(), State::Open, "it has the place of the fresh one");
    assert_eq!(breakers.len(), 3);
    breakers.get("newer").force_open();
    assert_eq!((breakers.get("open").state(), breakers.get("new").state()), (State::ForcedOpen, State::Open));
    assert_eq!(breakers.get("newer").state(), State::ForcedOpen, "it has the place of the one that failed once");
}

#[tokio::test(start_paused = true)]
async fn while_all_are_open_a_new_key_runs_unprotected_and_gets_a_place_later() {
    let breakers = breakers(1);
    for _ in 0..5 {
        let _ = fail(&breakers.get("open")).await;
    }
    for _ in 0..10 {
        assert_eq!(fail(&breakers.get("new")).await, Err(Error::Inner("refused")));
    }
    assert_eq!(breakers.get("open").state(), State::Open);
    advance(OPEN).await;
    breakers.get("new").force_open();
    assert_eq!(breakers.get("new").state(), State::ForcedOpen);
}
