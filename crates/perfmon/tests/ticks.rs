//! The second hand of a registry.
#![cfg(feature = "tokio")]

use std::panic::resume_unwind;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tidegate_perfmon::{Event, Observer, Registry, StatusClass, Window};

const SECOND: Duration = Duration::from_secs(1);

#[derive(Default)]
struct Panics(AtomicU64);

impl Observer for Panics {
    fn on(&self, event: &Event<'_>) {
        if matches!(event, Event::TickPanicked) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Runs the tasks that are due, without advancing the time.
async fn settle() {
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(start_paused = true)]
async fn each_second_is_filed_and_seen_until_the_handle_is_dropped() {
    let registry = Registry::builder().build();
    let seen = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&seen);
    let ticks = registry.spawn_ticks(move |registry| {
        counted.store(registry.overall(Window::Seconds(60)).count, Ordering::Relaxed);
    });
    let endpoint = registry.endpoint("GET", "/");
    for second in 1..=5 {
        endpoint.record(StatusClass::Success, Duration::from_millis(1));
        tokio::time::advance(SECOND).await;
        settle().await;
        assert_eq!(seen.load(Ordering::Relaxed), second);
    }
    assert!(!ticks.is_over());
    drop(ticks);
    endpoint.record(StatusClass::Success, Duration::from_millis(1));
    for _ in 0..3 {
        tokio::time::advance(SECOND).await;
        settle().await;
    }
    assert_eq!(seen.load(Ordering::Relaxed), 5);
}

#[tokio::test(start_paused = true)]
async fn a_late_tick_files_all_and_none_is_made_up_for() {
    let registry = Registry::builder().build();
    let runs = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&runs);
    let _ticks = registry.spawn_ticks(move |_| {
        counted.fetch_add(1, Ordering::Relaxed);
    });
    settle().await;
    let endpoint = registry.endpoint("GET", "/");
    for _ in 0..7 {
        endpoint.record(StatusClass::Success, Duration::from_millis(1));
    }
    tokio::time::advance(10 * SECOND).await;
    settle().await;
    assert_eq!(runs.load(Ordering::Relaxed), 1);
    assert_eq!(registry.overall(Window::Seconds(60)).count, 7);
}

#[tokio::test(start_paused = true)]
async fn a_panic_ends_only_its_second_and_is_reported() {
    let panics = Arc::new(Panics::default());
    let registry = Registry::builder().observer(Arc::clone(&panics) as Arc<dyn Observer>).build();
    let mut runs = 0;
    let _ticks = registry.spawn_ticks(move |_| {
        runs += 1;
        if runs % 2 == 1 {
            resume_unwind(Box::new("every other time"));
        }
    });
    let endpoint = registry.endpoint("GET", "/");
    for _ in 0..4 {
        endpoint.record(StatusClass::Success, Duration::from_millis(1));
        settle().await;
        tokio::time::advance(SECOND).await;
        settle().await;
    }
    assert_eq!(panics.0.load(Ordering::Relaxed), 2);
    assert_eq!(registry.overall(Window::Seconds(60)).count, 4, "each second was filed");
}
