use super::*;
use tidegate_clock::ManualClock;

#[tokio::test]
async fn expired_keys_are_freed_as_new_keys_arrive() {
    let (clock, ttl) = (ManualClock::new(), Duration::from_secs(60));
    let shapes = MemoryShapes::new(1_000_000, Clock::from(&clock));
    let mut most = 0;
    for key in 0..10_000 {
        let key = Key::builder("shape").part(key).build().expect("a short key");
        shapes.counter_add(&key, 1, Life { ttl, renews: false }).await.expect("one is added");
        clock.advance(ttl / 100);
        most = most.max(shapes.cells.len());
    }
    // A hundred of them live at once.
    assert!((100..=300).contains(&most), "{most}");
}
