//! What goes wrong during a run.

use std::time::Duration;

use anyhow::bail;
use tokio::sync::oneshot;
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use crate::ExampleProcesses;

/// Kills one process after the other with SIGKILL, one each second, and restarts Redis once, in the
/// middle of `duration`. Ends when `stop` is sent or dropped. Returns the number of kills.
///
/// # Errors
///
/// A process does not start again.
pub async fn inflict(
    example: &mut ExampleProcesses,
    duration: Duration,
    mut stop: oneshot::Receiver<()>,
) -> anyhow::Result<usize> {
    const EVERY: Duration = Duration::from_secs(1);
    let started = Instant::now();
    let mut tick = interval_at(started + EVERY, EVERY);
    // A start that took long is not followed by several kills at once.
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut kills, mut is_redis_due) = (0, true);
    loop {
        tokio::select! {
            biased;
            _ = &mut stop => return Ok(kills),
            _ = tick.tick() => {}
        }
        example.kill_and_restart(kills % example.processes.len()).await?;
        kills += 1;
        if is_redis_due && started.elapsed() >= duration / 2 {
            is_redis_due = false;
            let Some(redis) = &mut example.redis else { bail!("Redis was not started here: unset REDIS_URL") };
            redis.kill9();
            redis.restart().await;
        }
    }
}
