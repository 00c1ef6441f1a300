//! The proofs on the fleet, from the command line.

use std::time::Duration;

use anyhow::ensure;
use tidegate_load::proof::{self, Size};
use tidegate_load::{TopologyOptions, topology};

use crate::arguments::Arguments;
use crate::{output, put_section};

/// Users of each proof, unless `--users` names another number.
const STAGES_USERS: u64 = 500;
const SPIKE_USERS: u64 = 40;
const USERS: u64 = 100;
const MINUTES: f64 = 30.0;

/// A run on the fleet.
#[derive(Clone, Copy)]
pub(crate) enum FleetRun {
    Stages,
    Spike,
    Rolling,
    Faults,
    Cost,
    /// The fleet without load, until Ctrl-C.
    Topology,
}

use FleetRun::{Cost, Faults, Rolling, Spike, Stages, Topology};

impl FleetRun {
    pub(crate) const ALL: [Self; 6] = [Stages, Spike, Rolling, Faults, Cost, Topology];

    pub(crate) fn find(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|run| run.name() == name)
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Stages => "stages",
            Spike => "spike",
            Rolling => "rolling",
            Faults => "faults",
            Cost => "cost",
            Topology => "topology",
        }
    }

    fn options(self) -> &'static [&'static str] {
        match self {
            Stages | Spike | Rolling | Cost => &["--users", "--scale", "--set", "--json", "--page"],
            Faults => &["--users", "--minutes", "--set", "--json", "--page"],
            Topology => &["--set"],
        }
    }
}

/// Runs it. Returns whether everything held.
pub(crate) async fn run(which: FleetRun, arguments: &Arguments) -> anyhow::Result<bool> {
    arguments.ensure_effect(which.options())?;
    arguments.ensure_writable(&[which.name()])?;
    let size = |users: u64| -> anyhow::Result<Size> {
        let users = usize::try_from(arguments.users.unwrap_or(users))?;
        ensure!((10..=2_500).contains(&users), "--users is {users}, and must be from 10 to 2500");
        Ok(Size { scale: arguments.scale.unwrap_or(1.0), users, settings: arguments.set.clone() })
    };
    let report = match which {
        Topology => {
            let options = TopologyOptions { settings: arguments.set.clone(), ..TopologyOptions::default() };
            topology::serve(&options, |text| println!("{text}")).await?;
            return Ok(true);
        }
        Stages => proof::stages(&size(STAGES_USERS)?).await?,
        Spike => proof::spike(&size(SPIKE_USERS)?).await?,
        Rolling => proof::rolling(&size(USERS)?).await?,
        Faults => {
            let length = Duration::from_secs_f64(arguments.minutes.unwrap_or(MINUTES) * 60.0);
            proof::faults(&size(USERS)?, length).await?
        }
        Cost => proof::cost(&size(USERS)?).await?,
    };
    println!("{}", report.table());
    if let Some(path) = &arguments.json {
        output::write(path, &serde_json::to_string_pretty(&report)?)?;
    }
    if let Some(path) = &arguments.page {
        put_section(path, report.proof, &proof::section(&report))?;
    }
    Ok(report.has_passed())
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    async fn refused(name: &str, options: &[&str]) -> String {
        let arguments = Arguments::try_parse_from(["load", name].iter().chain(options)).unwrap();
        run(FleetRun::find(name).unwrap(), &arguments).await.unwrap_err().to_string()
    }

    #[tokio::test]
    async fn an_option_of_examples_is_refused_before_the_fleet_starts() {
        for option in ["--duration", "--rate", "--processes"] {
            let refused = refused("stages", &[option, "5"]).await;
            assert!(
                refused.contains(&format!("`stages` does not take {option}; its options are --users, ")),
                "{refused}"
            );
        }
        assert!(refused("faults", &["--scale", "0.1"]).await.contains("--minutes"));
    }

    #[tokio::test]
    async fn a_number_of_users_without_a_fleet_for_them_is_refused() {
        let refused = refused("spike", &["--users", "9"]).await;
        assert_eq!(refused, "--users is 9, and must be from 10 to 2500");
    }
}
