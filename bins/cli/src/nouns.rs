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

use crate::arguments::Arguments;
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

/// Does what the command line says.
pub(crate) async fn run(arguments: Arguments) -> Result<ExitCode, Failure> {
    let Arguments { connection, style, noun } = arguments;
    // They need no server, so nothing of the connection has to be usable.
    if let Noun::Completions(completions) = noun {
        return completions.run().map(|()| ExitCode::SUCCESS);
    }
    let context = Context::new(&connection, style)?;
    match noun {
        Noun::Health => return health::run(&context).await,
        Noun::Queue(queue) => queue.run(&context).await,
        Noun::Job(job) => job.run(&context).await,
        Noun::Cron(cron) => cron.run(&context).await,
        Noun::Group(group) => group.run(&context).await,
        Noun::Scan(scan) => scan.run(&context).await,
        Noun::Limit(limit) => limit.run(&context).await,
        Noun::Cache(cache) => cache.run(&context).await,
        Noun::Performance(performance) => performance.run(&context).await,
        Noun::Advice(advice) => advice.run(&context).await,
        Noun::Alert(alert) => alert.run(&context).await,
        Noun::Silence(silence) => silence.run(&context).await,
        Noun::Event(event) => event.run(&context).await,
        Noun::Log(log) => log.run(&context).await,
        Noun::Metrics(metrics) => metrics.run(&context).await,
        Noun::Backup(backup) => backup.run(&context).await,
        Noun::Tenant(tenant) => tenant.run(&context).await,
        Noun::Key(key) => key.run(&context).await,
        Noun::Completions(_) => Ok(()),
    }
    .map(|()| ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests;
