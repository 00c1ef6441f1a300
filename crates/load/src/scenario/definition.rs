//! Definition of a scenario: its runs, its turns and its checks.

use async_trait::async_trait;
use serde::Serialize;

use crate::driver::{Mode, Turn};
use crate::{Api, Check};

/// One example under load.
#[async_trait]
pub trait Scenario: Send + Sync + 'static {
    /// Name of the example.
    fn name(&self) -> &'static str;

    /// Environment variables of its processes.
    fn env(&self) -> Vec<(&'static str, String)> {
        Vec::new()
    }

    /// Variable in which the processes are given the address of one more process of the example,
    /// which stands for another service: it has no servers, and is never killed. `None` if the
    /// example calls no other service.
    fn upstream(&self) -> Option<&'static str> {
        None
    }

    /// The runs of which the figures are made.
    fn runs(&self) -> Vec<Measured>;

    /// Operations of these runs whose throughput is compared.
    fn ratios(&self) -> Vec<Ratio> {
        Vec::new()
    }

    /// Creates what the turns need.
    ///
    /// # Errors
    ///
    /// A request failed.
    async fn prepare(&self, _api: &Api) -> anyhow::Result<()> {
        Ok(())
    }

    /// Called before each of its own [runs](Self::runs) with the run's position, for a scenario
    /// whose runs differ. Tests make one run without it, in which each kind of turn must occur.
    ///
    /// # Errors
    ///
    /// A request failed.
    async fn begin_run(&self, _api: &Api, _number: usize) -> anyhow::Result<()> {
        Ok(())
    }

    /// Called before a run whose rate or users the caller has chosen. It has the turns of the first
    /// of its own runs, and enough of what is sold for any number of requests.
    ///
    /// # Errors
    ///
    /// A request failed.
    async fn begin_given_run(&self, api: &Api) -> anyhow::Result<()> {
        self.begin_run(api, 0).await
    }

    /// One user's turn. An answer that the scenario does not allow is an error.
    ///
    /// # Errors
    ///
    /// A request failed, or had a wrong answer.
    async fn turn(&self, turn: &mut Turn) -> anyhow::Result<()>;

    /// Compares the state after all runs with the answers that the turns received.
    ///
    /// # Errors
    ///
    /// A request failed.
    async fn check(&self, api: &Api) -> anyhow::Result<Vec<Check>>;
}

/// A run, and the targets of its figures.
#[derive(Clone, Debug)]
pub struct Measured {
    /// How requests follow one another.
    pub mode: Mode,
    /// Seconds; `AtOnce` ends by itself.
    pub seconds: u64,
    /// Figures to beat.
    pub targets: Vec<Target>,
}

/// Figures of the reference and of ours for one operation. Latencies are in milliseconds.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Target {
    /// The operation.
    pub operation: &'static str,
    /// Measurement of the reference, in words.
    pub reference: &'static str,
    /// Highest mean latency.
    pub mean_ms: Option<f64>,
    /// Highest latency of 95 % of the requests.
    pub p95_ms: Option<f64>,
    /// Highest latency of 99 % of the requests.
    pub p99_ms: Option<f64>,
    /// Fewest requests a second.
    pub per_second: Option<f64>,
}

/// Throughput of one operation, divided by that of another one.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Ratio {
    /// The operation.
    pub operation: &'static str,
    /// The operation that it is compared with.
    pub to: &'static str,
    /// Lowest ratio.
    pub at_least: f64,
}
