//! Steps: each with a heading, the seconds that it took, and the command that repeats it.

use std::ffi::OsString;
use std::fmt;
use std::io::{self, BufRead, BufReader};
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;

use crate::clock::Stopwatch;
use crate::totals::Totals;

/// One check, by a command or by a function of this program.
#[derive(Clone, Copy)]
pub(crate) struct Step {
    pub(crate) name: &'static str,
    pub(crate) action: Action,
}

#[derive(Clone, Copy)]
pub(crate) enum Action {
    /// Runs `cargo` with these arguments, in this environment.
    Cargo { environment: &'static [(&'static str, &'static str)], arguments: &'static [&'static str] },
    /// Like `cargo test`, but adds up the results, which are one line for each of many programs.
    CargoTest { arguments: &'static [&'static str] },
    /// Calls a function that `cargo xtask <name>` calls too.
    Own { name: &'static str, check: fn(&Path) -> Result<String, String> },
}

impl Step {
    pub(crate) const fn cargo(name: &'static str, arguments: &'static [&'static str]) -> Self {
        Self { name, action: Action::Cargo { environment: &[], arguments } }
    }
}

impl fmt::Display for Action {
    /// The command as one types it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cargo { environment, arguments } => {
                for (name, value) in *environment {
                    write!(f, "{name}=\"{value}\" ")?;
                }
                write!(f, "cargo {}", arguments.join(" "))
            }
            Self::CargoTest { arguments } => write!(f, "cargo {}", arguments.join(" ")),
            Self::Own { name, .. } => write!(f, "cargo xtask {name}"),
        }
    }
}

/// Runs the steps in order up to the first that fails. Returns how long each took.
pub(crate) fn run(root: &Path, steps: &[Step]) -> Result<Vec<(&'static str, Duration)>, String> {
    let mut took = Vec::new();
    for (number, step) in steps.iter().enumerate() {
        println!("\n==> [{}/{}] {}\n    $ {}", number + 1, steps.len(), step.name, step.action);
        let stopwatch = Stopwatch::start();
        let outcome = act(root, &step.action);
        let elapsed = stopwatch.elapsed();
        if let Err(reason) = outcome {
            return Err(format!(
                "step `{}` failed after {} ({reason}); repeat it with: {}",
                step.name,
                seconds(elapsed),
                step.action
            ));
        }
        println!("    {} done in {}", step.name, seconds(elapsed));
        took.push((step.name, elapsed));
    }
    Ok(took)
}

fn act(root: &Path, action: &Action) -> Result<(), String> {
    match action {
        Action::Cargo { environment, arguments } => {
            let status = cargo(root, arguments).envs(environment.iter().copied()).status();
            succeeded(status.map_err(does_not_start)?)
        }
        Action::CargoTest { arguments } => {
            let mut child = cargo(root, arguments).stdout(Stdio::piped()).spawn().map_err(does_not_start)?;
            let mut totals = Totals::default();
            for line in child.stdout.take().into_iter().flat_map(|output| BufReader::new(output).lines()) {
                let line = line.map_err(|error| format!("its output cannot be read: {error}"))?;
                println!("{line}");
                totals.add(&line);
            }
            let status = child.wait().map_err(does_not_start)?;
            println!("\n    {totals}");
            succeeded(status)
        }
        Action::Own { check, .. } => {
            println!("    {}", check(root)?);
            Ok(())
        }
    }
}

fn cargo(root: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new("cargo");
    command.args(arguments).current_dir(root);
    // Variables of the cargo that started this program. Build scripts read them, and everything
    // that depends on these would be rebuilt at each switch between `cargo xtask` and `cargo test`.
    let of_this_program = |name: &OsString| {
        name.to_str().is_some_and(|name| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_"))
    };
    for name in std::env::vars_os().map(|(name, _)| name).filter(of_this_program) {
        command.env_remove(name);
    }
    command
}

fn succeeded(status: ExitStatus) -> Result<(), String> {
    if status.success() { Ok(()) } else { Err(status.to_string()) }
}

#[expect(clippy::needless_pass_by_value, reason = "the shape that `map_err` takes")]
fn does_not_start(error: io::Error) -> String {
    format!("cargo does not start: {error}")
}

/// Formats a duration with one decimal.
pub(crate) fn seconds(duration: Duration) -> String {
    format!("{:.1} s", duration.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{Action, Step, run};

    fn own(name: &'static str, check: fn(&Path) -> Result<String, String>) -> Step {
        Step { name, action: Action::Own { name, check } }
    }

    #[test]
    fn a_command_reads_as_typed() {
        let step = Step {
            name: "documentation",
            action: Action::Cargo { environment: &[("RUSTDOCFLAGS", "-D warnings")], arguments: &["doc", "--no-deps"] },
        };
        assert_eq!(step.action.to_string(), "RUSTDOCFLAGS=\"-D warnings\" cargo doc --no-deps");
        assert_eq!(own("laws", |_| Ok(String::new())).action.to_string(), "cargo xtask laws");
    }

    #[test]
    fn the_first_failure_ends_the_run_and_says_how_to_repeat_it() {
        let steps = [
            own("good", |_| Ok("fine".into())),
            own("bad", |_| Err("two links lead nowhere".into())),
            own("never", |_| unreachable!("after a failure")),
        ];
        let failure = run(Path::new("."), &steps).unwrap_err();
        assert!(failure.starts_with("step `bad` failed after "), "{failure}");
        assert!(failure.ends_with("(two links lead nowhere); repeat it with: cargo xtask bad"), "{failure}");
    }

    #[test]
    fn a_failing_command_fails_its_step() {
        let failure = run(Path::new("."), &[Step::cargo("nonsense", &["no-such-command"])]).unwrap_err();
        assert!(failure.contains("step `nonsense` failed"), "{failure}");
        assert!(failure.ends_with("repeat it with: cargo no-such-command"), "{failure}");
    }

    #[test]
    fn every_step_that_ran_is_timed() {
        let steps = [own("one", |_| Ok(String::new())), Step::cargo("two", &["--version"])];
        let took = run(Path::new("."), &steps).unwrap();
        assert_eq!(took.iter().map(|(name, _)| *name).collect::<Vec<_>>(), ["one", "two"]);
    }
}
