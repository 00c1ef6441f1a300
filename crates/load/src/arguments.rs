//! The command line.

use std::path::PathBuf;

use anyhow::{Context, bail};
use clap::{Parser, value_parser};
use tidegate_load::page;

use crate::output;

/// Options of a run of an example.
pub(crate) const OF_EXAMPLES: &[&str] =
    &["--rate", "--users", "--duration", "--processes", "--embedded", "--fsync-always", "--json", "--page"];

/// Puts an example or a whole fleet under load, and prints the figures beside the reference's.
///
/// Exits with 1 if an invariant is broken or a figure misses its target.
///
/// These run on the fleet of deploy/compose.yaml (see `cargo xtask topology`): `stages` (up to 500
/// users), `spike` (100 times the normal rate), `rolling` (every node restarted, and a broken
/// canary), `faults` (one fault each minute) and `cost` (CPU of a request and of a job).
#[derive(Debug, Parser)]
#[command(name = "cargo xtask load", bin_name = "cargo xtask load")]
pub(crate) struct Arguments {
    /// The example, such as `time_sale`; `all` runs each of them. Or a proof on the fleet.
    pub(crate) scenario: String,
    /// Factor of all lengths of time of `stages`, `spike`, `rolling` and `cost`. Default: 1.
    #[arg(long, allow_negative_numbers = true, value_parser = number)]
    pub(crate) scale: Option<f64>,
    /// Length of `faults`. Default: 30.
    #[arg(long, allow_negative_numbers = true, value_parser = number)]
    pub(crate) minutes: Option<f64>,
    /// A setting of the fleet's nodes, such as `TIDEGATE_HTTP_CAPACITY=in_flight=8`. May be
    /// repeated.
    #[arg(long, value_name = "NAME=VALUE", value_parser = setting)]
    pub(crate) set: Vec<(String, String)>,
    /// Requests a second of an example, open loop. Without it, the scenario's own runs.
    #[arg(long, allow_negative_numbers = true, value_parser = number)]
    pub(crate) rate: Option<f64>,
    /// Concurrent users, closed loop for an example.
    #[arg(long, conflicts_with = "rate", value_parser = value_parser!(u64).range(1..=100_000))]
    pub(crate) users: Option<u64>,
    /// Seconds of each run of an example.
    #[arg(long, value_name = "SECONDS", value_parser = value_parser!(u64).range(1..=86_400))]
    pub(crate) duration: Option<u64>,
    /// Processes of the example, from 1 to 6. Default: 1.
    #[arg(long, value_parser = value_parser!(u8).range(1..=6))]
    pub(crate) processes: Option<u8>,
    /// Starts no Redis and no PostgreSQL: one process on memory and SQLite.
    #[arg(long, conflicts_with = "processes")]
    pub(crate) embedded: bool,
    /// Redis syncs its append-only file before each answer, in place of once a second.
    #[arg(long, conflicts_with = "embedded")]
    pub(crate) fsync_always: bool,
    /// Also writes the figures to this file.
    #[arg(long)]
    pub(crate) json: Option<PathBuf>,
    /// Also replaces the section of each scenario or proof on this page.
    #[arg(long)]
    pub(crate) page: Option<PathBuf>,
}

impl Arguments {
    /// Refuses an option without an effect on the run: one that is not among `takes`.
    pub(crate) fn ensure_effect(&self, takes: &[&str]) -> anyhow::Result<()> {
        if let Some(option) = self.given().find(|option| !takes.contains(option)) {
            bail!("`{}` does not take {option}; its options are {}", self.scenario, takes.join(", "));
        }
        Ok(())
    }

    /// Refuses files that cannot be written, and a page that lacks one of the sections, before the
    /// run.
    pub(crate) fn ensure_writable(&self, sections: &[&str]) -> anyhow::Result<()> {
        if let Some(path) = &self.json {
            output::ensure_writable(path, true)?;
        }
        if let Some(path) = &self.page {
            output::ensure_writable(path, false)?;
            let text = std::fs::read_to_string(path).with_context(|| format!("{} can't be read", path.display()))?;
            for section in sections {
                page::put(&text, section, "").with_context(|| path.display().to_string())?;
            }
        }
        Ok(())
    }

    fn given(&self) -> impl Iterator<Item = &'static str> {
        let options = [
            ("--scale", self.scale.is_some()),
            ("--minutes", self.minutes.is_some()),
            ("--set", !self.set.is_empty()),
            ("--rate", self.rate.is_some()),
            ("--users", self.users.is_some()),
            ("--duration", self.duration.is_some()),
            ("--processes", self.processes.is_some()),
            ("--embedded", self.embedded),
            ("--fsync-always", self.fsync_always),
            ("--json", self.json.is_some()),
            ("--page", self.page.is_some()),
        ];
        options.into_iter().filter(|(_, is_given)| *is_given).map(|(option, _)| option)
    }
}

/// A number with which each length of time and each interval can be computed.
fn number(text: &str) -> Result<f64, String> {
    let number = text.parse::<f64>().ok().filter(|number| (0.001..=1_000_000.0).contains(number));
    number.ok_or_else(|| "must be a number from 0.001 to 1000000".to_owned())
}

fn setting(text: &str) -> Result<(String, String), String> {
    let parts = text.split_once('=').filter(|(name, _)| !name.is_empty());
    parts.map(|(name, value)| (name.to_owned(), value.to_owned())).ok_or_else(|| "must be NAME=VALUE".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(options: &[&str]) -> Result<Arguments, clap::Error> {
        Arguments::try_parse_from(["load", "time_sale"].iter().chain(options))
    }

    #[test]
    fn a_number_that_no_run_can_have_is_refused() {
        for option in ["--rate", "--scale", "--minutes"] {
            for number in ["0", "-1", "1e12", "1e-300", "inf", "NaN", "fast"] {
                let refused = parse(&[option, number]).unwrap_err().to_string();
                assert!(refused.contains("must be a number from 0.001 to 1000000"), "{option} {number}: {refused}");
            }
            assert!(parse(&[option, "0.5"]).is_ok(), "{option}");
        }
        for (option, numbers) in
            [("--processes", ["0", "7"]), ("--users", ["0", "100001"]), ("--duration", ["0", "86401"])]
        {
            for number in numbers {
                assert!(parse(&[option, number]).is_err(), "{option} {number}");
            }
            assert!(parse(&[option, "6"]).is_ok(), "{option}");
        }
        assert!(parse(&["--set", "=8"]).unwrap_err().to_string().contains("must be NAME=VALUE"));
    }

    #[test]
    fn processes_without_a_server_are_refused() {
        assert!(parse(&["--embedded", "--processes", "3"]).is_err());
        assert!(parse(&["--embedded"]).is_ok());
    }

    #[test]
    fn an_option_without_effect_is_refused_with_those_that_have_one() {
        let arguments = parse(&["--rate", "50", "--json", "figures.json", "--scale", "0.1"]).unwrap();
        let refused = arguments.ensure_effect(OF_EXAMPLES).unwrap_err().to_string();
        assert!(refused.starts_with("`time_sale` does not take --scale; its options are --rate, "), "{refused}");
        assert!(arguments.ensure_effect(&["--rate", "--json", "--scale"]).is_ok());
    }
}
