//! The structure law: import cycles inside a crate, sizes of crates and files, width of comments.

mod comments;
mod cycle;
mod imports;
mod length;
mod modules;
mod names;
mod package;
mod rule;
mod scan;
mod scope;

use std::fs;
use std::path::{Path, PathBuf};

use cargo_metadata::{Package, TargetKind};

use self::package::Sources;
pub(super) use self::rule::MAX_COMMENT;

/// Returns every breach.
pub(super) fn check(root: &Path, packages: &[&Package]) -> Result<Vec<String>, String> {
    let mut found = Vec::new();
    for package in packages {
        let sources = sources(root, package).map_err(|error| format!("{}: {error}", package.name))?;
        found.extend(package::judge(&sources).map_err(|error| format!("{}: {error}", package.name))?);
    }
    Ok(found.iter().map(ToString::to_string).collect())
}

/// Reads all Rust files of a package, and says which are the roots of its library and programs.
fn sources(root: &Path, package: &Package) -> Result<Sources, String> {
    let directory = package.manifest_path.parent().ok_or("its manifest has no directory")?.as_std_path();
    let relative = |path: &Path| path.strip_prefix(root).unwrap_or(path).to_string_lossy().into_owned();
    let mut paths: Vec<PathBuf> = super::source::rust_files(directory).map_err(|error| error.to_string())?;
    paths.sort();
    let mut files = Vec::with_capacity(paths.len());
    for path in paths {
        let text = fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        files.push((relative(&path), text));
    }
    let kinds = [TargetKind::Lib, TargetKind::ProcMacro, TargetKind::Bin];
    let targets = package.targets.iter().filter(|target| target.kind.iter().any(|kind| kinds.contains(kind)));
    let roots = targets.map(|target| relative(target.src_path.as_std_path())).collect();
    Ok(Sources { place: relative(directory), roots, files })
}
