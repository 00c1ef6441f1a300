//! Waiting for an admission, with tokio's paused time and a clock that follows it.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tidegate_ratelimit::{
    Clock, ClockSource, LeakyBucket, Limiter, MemoryLimiter, Quota, Reservation, SlidingWindow, WaitError, until_ready,
};
use tokio::time::Instant;

const fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

/// Tokio's time.
struct TokioClock(Instant);

impl ClockSource for TokioClock {
    fn now(&self) -> Duration {
        self.0.elapsed()
    }

    fn wall(&self) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(1_000) + self.now()
    }
}

fn line(places: u64) -> Arc<dyn Limiter> {
    let quota = Quota::per_second(10).unwrap().burst(places).unwrap();
    Arc::new(
        MemoryLimiter::builder("line", LeakyBucket::queue(quota))
            .clock(Clock::from_source(TokioClock(Instant::now())))
            .build(),
    )
}

fn window() -> MemoryLimiter<SlidingWindow> {
    let quota = Quota::per_second(2).unwrap();
    MemoryLimiter::builder("window", SlidingWindow::new(quota))
        .clock(Clock::from_source(TokioClock(Instant::now())))
        .build()
}

#[tokio::test(start_paused = true)]
async fn who_waits_is_admitted_when_it_fits_and_no_sooner() {
    let limiter = window();
    let start = Instant::now();
    for expected in [0, 0, 1_000, 1_000, 2_000] {
        until_ready(&limiter, "k", 1, ms(5_000)).await.unwrap();
        // The timer has a resolution of one millisecond.
        assert!((ms(expected)..=ms(expected + 5)).contains(&start.elapsed()), "{:?}", start.elapsed());
    }
}

#[tokio::test(start_paused = true)]
async fn who_would_wait_too_long_is_told_at_once_and_charged_nothing() {
    let limiter = window();
    let _ = limiter.check("k", 2).await.unwrap();
    let start = Instant::now();
    let refused = until_ready(&limiter, "k", 1, ms(900)).await.unwrap_err();
    assert!(matches!(refused, WaitError::TooLong(denial) if denial.retry_after == ms(1_000)));
    assert!(matches!(until_ready(&limiter, "k", 3, ms(900)).await, Err(WaitError::Check(_))));
    assert_eq!(start.elapsed(), Duration::ZERO);

    let line = line(100);
    for _ in 0..5 {
        let _ = line.check("k", 1).await.unwrap();
    }
    let refused = until_ready(&*line, "k", 1, ms(400)).await.unwrap_err();
    assert!(matches!(refused, WaitError::TooLong(denial) if denial.retry_after == ms(100)));
    assert_eq!(line.peek("k", 1).await.unwrap().delay(), ms(500));
}

#[tokio::test(start_paused = true)]
async fn a_line_moves_at_its_rate_in_the_order_of_arrival() {
    let line = line(100);
    let start = Instant::now();
    let mut places = Vec::new();
    for _ in 0..20 {
        places.push(Reservation::take(line.clone(), "k", 1, ms(60_000)).await.unwrap());
    }
    for (nth, place) in places.into_iter().enumerate() {
        assert_eq!(place.wait(), ms(100 * nth as u64).saturating_sub(start.elapsed()));
        place.ready().await;
        assert!(start.elapsed() >= ms(100 * nth as u64));
    }
    assert!(start.elapsed() <= ms(1_950));
}

#[tokio::test(start_paused = true)]
async fn a_place_that_is_dropped_is_given_back_and_one_that_was_used_is_not() {
    let line = line(2);
    let take = async || Reservation::take(line.clone(), "k", 1, ms(60_000)).await;
    let first = take().await.unwrap();
    let second = take().await.unwrap();
    assert!(matches!(take().await, Err(WaitError::TooLong(_))));
    first.ready().await;
    assert!(matches!(take().await, Err(WaitError::TooLong(_))));
    drop(second);
    tokio::task::yield_now().await;
    let third = take().await.unwrap();
    // Dropped during its wait.
    assert!(tokio::time::timeout(ms(10), third.ready()).await.is_err());
    tokio::task::yield_now().await;
    assert!(take().await.is_ok());
}
