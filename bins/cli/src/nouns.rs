//! The nouns of the command line, and their verbs.

mod advice;
mod alert;
mod backup;
mod cache;
mod completions;
mod cron;
mod event;
mod group;
mod health;
mod job;
mod key;
mod limit;
mod log;
mod metrics;
mod performance;
mod queue;
mod scan;
mod silence;
mod tenant;

use std::process::ExitCode;

use clap::Subcommand;

use crate::context::Context;
use crate::failure::Failure;

#[derive(Debug, Subcommand)]
pub(crate) enum Noun {
    /// Queues: list, pause, drain, clean, limit
    #[command(subcommand)]
    Queue(queue::Queue),
    /// Jobs: enqueue, show, retry, cancel, delete, tail
    #[command(subcommand)]
    Job(job::Job),
    /// Schedules that enqueue jobs at set times
    #[command(subcommand)]
    Cron(cron::Cron),
    /// Groups of jobs
    #[command(subcommand)]
    Group(group::Group),
    /// Scans over all rows of a tenant
    #[command(subcommand)]
    Scan(scan::Scan),
    /// Rate limits: quotas, blocks, resets, tenants' plans
    #[command(subcommand)]
    Limit(limit::Limit),
    /// The cache: statistics, purge, warm-up
    #[command(subcommand)]
    Cache(cache::Cache),
    /// How well the API serves, and why; the exit code says it
    Health,
    /// Figures of routes, operations and statements
    #[command(subcommand, visible_alias = "perf")]
    Performance(performance::Performance),
    /// Advice, and changes that follow it
    #[command(subcommand)]
    Advice(advice::Advice),
    /// Alerts
    #[command(subcommand)]
    Alert(alert::Alert),
    /// Silences, which keep alerts from being sent
    #[command(subcommand)]
    Silence(silence::Silence),
    /// The stream of events
    #[command(subcommand)]
    Event(event::Events),
    /// The filter of the API's log
    #[command(subcommand)]
    Log(log::Log),
    /// Prints the figures for Prometheus
    Metrics(metrics::Metrics),
    /// Backups of all tables
    #[command(subcommand)]
    Backup(backup::Backup),
    /// Tenants
    #[command(subcommand)]
    Tenant(tenant::Tenant),
    /// API keys of a tenant
    #[command(subcommand)]
    Key(key::Key),
    /// Prints the completions of a shell
    Completions(completions::Completions),
}

impl Noun {
    /// Runs the verb.
    pub(crate) async fn run(self, context: &Context) -> Result<ExitCode, Failure> {
        match self {
            Self::Health => return health::run(context).await,
            Self::Queue(queue) => queue.run(context).await,
            Self::Job(job) => job.run(context).await,
            Self::Cron(cron) => cron.run(context).await,
            Self::Group(group) => group.run(context).await,
            Self::Scan(scan) => scan.run(context).await,
            Self::Limit(limit) => limit.run(context).await,
            Self::Cache(cache) => cache.run(context).await,
            Self::Performance(performance) => performance.run(context).await,
            Self::Advice(advice) => advice.run(context).await,
            Self::Alert(alert) => alert.run(context).await,
            Self::Silence(silence) => silence.run(context).await,
            Self::Event(event) => event.run(context).await,
            Self::Log(log) => log.run(context).await,
            Self::Metrics(metrics) => metrics.run(context).await,
            Self::Backup(backup) => backup.run(context).await,
            Self::Tenant(tenant) => tenant.run(context).await,
            Self::Key(key) => key.run(context).await,
            // `Arguments::run` prints them: they cover the whole command line.
            Self::Completions(_) => Ok(()),
        }
        .map(|()| ExitCode::SUCCESS)
    }
}

#[cfg(test)]
mod tests;
