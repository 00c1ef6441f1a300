//! Paths of the workspace's own binaries.

use std::env::{self, consts::EXE_SUFFIX};
use std::path::{Path, PathBuf};

/// A binary of the workspace that has not been built.
#[derive(Debug, thiserror::Error)]
#[error("no binary `{name}` at {}: run `cargo build --workspace --bins` first", path.display())]
#[non_exhaustive]
pub struct BinaryMissing {
    /// Name of the binary.
    pub name: String,
    /// Path at which it was expected.
    pub path: PathBuf,
}

/// Returns the path of a workspace binary such as `tidegate-worker`: the one in the directory
/// (`target/<profile>/`) of the running test. Builds nothing, so the binary may be older than the
/// sources.
///
/// # Panics
///
/// If it has not been built. The message contains the command that builds it.
#[must_use]
#[track_caller]
#[expect(clippy::panic, reason = "a test without its binary has failed; the message is the whole point")]
pub fn binary(name: &str) -> PathBuf {
    find_binary(name).unwrap_or_else(|missing| panic!("{missing}"))
}

/// Like [`binary`], for callers that can continue without it.
///
/// # Errors
///
/// [`BinaryMissing`] if there is no such file.
pub fn find_binary(name: &str) -> Result<PathBuf, BinaryMissing> {
    let test = env::current_exe().unwrap_or_default();
    let path = profile_directory(&test).join(format!("{name}{EXE_SUFFIX}"));
    if path.is_file() { Ok(path) } else { Err(BinaryMissing { name: name.to_owned(), path }) }
}

/// Tests are built into `deps/`, examples into `examples/`, binaries above both.
fn profile_directory(executable: &Path) -> &Path {
    let directory = executable.parent().unwrap_or(executable);
    match directory.file_name().and_then(|name| name.to_str()) {
        Some("deps" | "examples") => directory.parent().unwrap_or(directory),
        _ => directory,
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{binary, find_binary, profile_directory};

    #[test]
    fn binaries_stand_above_tests_and_examples() {
        for executable in ["/t/debug/deps/process-0a1b", "/t/debug/examples/tour", "/t/debug/tidegate-api"] {
            assert_eq!(profile_directory(Path::new(executable)), Path::new("/t/debug"));
        }
    }

    #[test]
    fn finds_the_binary_beside_this_test() {
        let this = std::env::current_exe().unwrap();
        let below = format!("deps/{}", this.file_stem().unwrap().to_str().unwrap());
        assert_eq!(find_binary(&below).unwrap(), this);
    }

    #[test]
    fn a_missing_binary_names_the_command_that_builds_it() {
        let message = find_binary("no-such-binary").unwrap_err().to_string();
        assert!(message.contains("`no-such-binary`"), "{message}");
        assert!(message.contains("cargo build --workspace --bins"), "{message}");
    }

    #[test]
    #[should_panic(expected = "cargo build --workspace --bins")]
    fn a_missing_binary_fails_the_test() {
        let _ = binary("no-such-binary");
    }
}
