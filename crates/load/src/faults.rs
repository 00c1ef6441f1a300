//! Faults during a run.

use std::time::Duration;

use anyhow::bail;
use tokio::sync::oneshot;
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use crate::ExampleProcesses;

/// How often each fault was inflicted.
#[derive(Clone, Copy, Debug, Default)]
pub struct Inflicted {
    /// Processes killed and started again.
    pub kills: usize,
    /// Restarts of Redis after a SIGKILL.
    pub redis_restarts: usize,
}

/// Kills one process after the other with SIGKILL, one each second, and restarts Redis once, in the
/// middle of `duration`. Ends when `stop` is sent or dropped.
///
/// # Errors
///
/// A process does not start again.
pub async fn inflict(
    example: &mut ExampleProcesses,
    duration: Duration,
    mut stop: oneshot::Receiver<()>,
) -> anyhow::Result<Inflicted> {
    const EVERY: Duration = Duration::from_secs(1);
    let started = Instant::now();
    let mut tick = interval_at(started + EVERY, EVERY);
    // A start that took long is not followed by several kills at once.
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut inflicted = Inflicted::default();
    loop {
        tokio::select! {
            biased;
            _ = &mut stop => return Ok(inflicted),
            _ = tick.tick() => {}
        }
        example.kill_and_restart(inflicted.kills % example.processes.len()).await?;
        inflicted.kills += 1;
        if inflicted.redis_restarts == 0 && started.elapsed() >= duration / 2 {
            let Some(redis) = &mut example.redis else { bail!("Redis was not started here: unset REDIS_URL") };
            redis.kill9();
            redis.restart().await;
            inflicted.redis_restarts += 1;
        }
    }
}
