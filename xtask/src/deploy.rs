//! `cargo xtask deploy`: every file under `deploy/`, read by the program that it is for.

use std::path::Path;
use std::process::Command;

/// Runs `deploy/check` with the `tidegate-api` that was built last.
pub(crate) fn check(root: &Path) -> Result<String, String> {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), |target| root.join(target));
    let mut check = Command::new(root.join("deploy/check"));
    let status = check.arg(target.join("debug/tidegate-api")).env("CHECK_TOOLS", target.join("deploy-check")).status();
    match status.map_err(|error| format!("deploy/check does not start: {error}"))? {
        status if status.success() => Ok("every file under deploy/ is good".to_owned()),
        status => Err(format!("deploy/check: {status}")),
    }
}

/// Runs `deploy/check-images`.
pub(crate) fn images(root: &Path) -> Result<String, String> {
    match Command::new(root.join("deploy/check-images")).status() {
        Ok(status) if status.success() => Ok("both images are good".to_owned()),
        Ok(status) => Err(format!("deploy/check-images: {status}")),
        Err(error) => Err(format!("deploy/check-images does not start: {error}")),
    }
}
