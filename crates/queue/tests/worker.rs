//! The worker, on each broker with the real clock. Every test waits for an event.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test ends where it is surprised")]

/// Runs tests on each broker.
macro_rules! on_each_broker {
    ($($name:ident),* $(,)?) => {
        mod memory { $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() { super::$name(crate::harness::Harness::memory()).await; }
        )* }
        #[cfg(feature = "sqlite")]
        mod sqlite { $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() { super::$name(crate::harness::Harness::sqlite().await).await; }
        )* }
        #[cfg(feature = "redis")]
        mod redis { $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() { super::$name(crate::harness::Harness::redis().await).await; }
        )* }
    };
}

#[path = "worker/building.rs"]
mod building;
#[cfg(any(feature = "redis", feature = "sqlite"))]
#[path = "worker/computing.rs"]
mod computing;
#[path = "worker/harness.rs"]
mod harness;
#[path = "worker/lifetime.rs"]
mod lifetime;
#[path = "worker/observing.rs"]
mod observing;
#[path = "worker/outcomes.rs"]
mod outcomes;
#[path = "worker/releases.rs"]
mod releases;
#[cfg(feature = "redis")]
mod support;
