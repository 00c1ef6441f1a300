//! The proofs on the fleet, from the command line.

use std::time::Duration;

use anyhow::Context;
use tidegate_load::proof::{self, Size};
use tidegate_load::{TopologyOptions, topology};

use crate::{Arguments, write};

/// Names of the proofs on the fleet.
pub(crate) const NAMES: &[&str] = &["stages", "spike", "rolling", "faults", "cost", "topology"];

/// Users of each proof, unless `--users` names another number.
const STAGES_USERS: u64 = 500;
const SPIKE_USERS: u64 = 40;
const USERS: u64 = 100;

/// The proof of that name.
pub(crate) fn find(name: &str) -> Option<&'static str> {
    NAMES.iter().find(|known| **known == name).copied()
}

/// Runs it. Returns whether everything held.
pub(crate) async fn run(name: &str, arguments: &Arguments) -> anyhow::Result<bool> {
    anyhow::ensure!(arguments.scale > 0.0 && arguments.minutes > 0.0, "--scale and --minutes are above 0");
    let size = |users: u64| -> anyhow::Result<Size> {
        let users = usize::try_from(arguments.users.unwrap_or(users))?;
        anyhow::ensure!((10..=2_500).contains(&users), "--users is a number from 10 to 2500");
        Ok(Size { scale: arguments.scale, users, settings: arguments.set.clone() })
    };
    let report = match name {
        "topology" => {
            let options = TopologyOptions { settings: arguments.set.clone(), ..TopologyOptions::default() };
            topology::serve(&options, |text| println!("{text}")).await?;
            return Ok(true);
        }
        "stages" => proof::stages(&size(STAGES_USERS)?).await?,
        "spike" => proof::spike(&size(SPIKE_USERS)?).await?,
        "rolling" => proof::rolling(&size(USERS)?).await?,
        "faults" => proof::faults(&size(USERS)?, Duration::from_secs_f64(arguments.minutes * 60.0)).await?,
        _ => proof::cost(&size(USERS)?).await?,
    };
    println!("{}", report.table());
    if let Some(path) = &arguments.json {
        write(path, serde_json::to_string_pretty(&report)?)?;
    }
    if let Some(path) = &arguments.page {
        let page = std::fs::read_to_string(path).with_context(|| format!("{} can't be read", path.display()))?;
        write(path, proof::put(&page, &report)?)?;
    }
    Ok(report.has_passed())
}
