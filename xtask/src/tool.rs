//! Tools that the checks need, and how each is installed if it is missing.

use std::fmt;
use std::process::{Command, Stdio};

/// Source of a tool.
#[derive(Clone, Copy)]
enum Source {
    /// Packages of Debian and Ubuntu.
    Packages(&'static [&'static str]),
    /// A component of the Rust toolchain.
    Component(&'static str),
    /// Arguments of `cargo install`.
    Cargo(&'static [&'static str]),
}

struct Tool {
    name: &'static str,
    /// A command that succeeds if and only if the tool is there.
    probe: &'static [&'static str],
    source: Source,
}

const TOOLS: &[Tool] = &[
    // SQLite is compiled from source.
    Tool { name: "cc", probe: &["cc", "--version"], source: Source::Packages(&["gcc", "libc6-dev"]) },
    // Tests start servers of their own.
    Tool { name: "redis-server", probe: &["redis-server", "--version"], source: Source::Packages(&["redis-server"]) },
    Tool { name: "redis-cli", probe: &["redis-cli", "--version"], source: Source::Packages(&["redis-tools"]) },
    Tool {
        name: "postgres",
        // Debian puts its server into no search path.
        probe: &["sh", "-c", "ls /usr/lib/postgresql/*/bin/initdb"],
        source: Source::Packages(&["postgresql"]),
    },
    // Mails are sent to a real server.
    Tool {
        name: "aiosmtpd",
        probe: &["/usr/bin/python3", "-c", "import aiosmtpd"],
        source: Source::Packages(&["python3-aiosmtpd"]),
    },
    // Tests open pages in a browser.
    Tool { name: "chromium", probe: &["chromium", "--version"], source: Source::Packages(&["chromium"]) },
    Tool {
        name: "chromedriver",
        probe: &["chromedriver", "--version"],
        source: Source::Packages(&["chromium-driver"]),
    },
    Tool { name: "openssl", probe: &["openssl", "version"], source: Source::Packages(&["openssl"]) },
    Tool { name: "rustfmt", probe: &["cargo", "fmt", "--version"], source: Source::Component("rustfmt") },
    Tool { name: "clippy", probe: &["cargo", "clippy", "--version"], source: Source::Component("clippy") },
    Tool {
        name: "cargo-deny",
        probe: &["cargo", "deny", "--version"],
        // A debug build without the features for advisories and git: a quarter of the time, the
        // same answers.
        source: Source::Cargo(&["cargo-deny", "--locked", "--debug", "--no-default-features"]),
    },
];

/// A tool that is missing and could not be installed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Missing {
    tool: &'static str,
    /// The line that installs it.
    install: String,
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` is missing and could not be installed; install it with: {}", self.tool, self.install)
    }
}

/// Installs every missing tool. Returns their names.
pub(crate) fn install_missing() -> Result<Vec<&'static str>, Missing> {
    let mut installed = Vec::new();
    for tool in TOOLS.iter().filter(|tool| !is_there(tool)) {
        println!("`{}` is missing", tool.name);
        for line in commands(tool.source, privilege()) {
            println!("$ {}", line.join(" "));
            // The probe below shows whether it helped.
            let _ = run(&line, Stdio::inherit);
        }
        if !is_there(tool) {
            return Err(Missing { tool: tool.name, install: install_line(tool.source) });
        }
        installed.push(tool.name);
    }
    Ok(installed)
}

fn is_there(tool: &Tool) -> bool {
    let probe: Vec<String> = tool.probe.iter().map(ToString::to_string).collect();
    run(&probe, Stdio::null)
}

fn run(line: &[String], output: fn() -> Stdio) -> bool {
    let [program, arguments @ ..] = line else { return false };
    let mut command = Command::new(program);
    command.args(arguments).env("DEBIAN_FRONTEND", "noninteractive");
    command.stdout(output()).stderr(output()).status().is_ok_and(|status| status.success())
}

/// How this user may install packages.
#[derive(Clone, Copy)]
enum Privilege {
    Root,
    Sudo,
}

fn privilege() -> Privilege {
    let user = Command::new("id").arg("-u").output();
    match user {
        Ok(user) if user.stdout.trim_ascii() == b"0" => Privilege::Root,
        _ => Privilege::Sudo,
    }
}

/// The commands that install from `source`.
fn commands(source: Source, privilege: Privilege) -> Vec<Vec<String>> {
    let line = |words: &[&str]| words.iter().map(ToString::to_string).collect::<Vec<_>>();
    match source {
        Source::Packages(packages) => {
            let apt_get: &[&str] = match privilege {
                Privilege::Root => &["apt-get"],
                Privilege::Sudo => &["sudo", "apt-get"],
            };
            let install = [apt_get, &["install", "-y", "--no-install-recommends"], packages].concat();
            vec![line(&[apt_get, &["update"]].concat()), line(&install)]
        }
        Source::Component(component) => vec![line(&["rustup", "component", "add", component])],
        Source::Cargo(arguments) => vec![line(&[&["cargo", "install"], arguments].concat())],
    }
}

/// Returns the command that a reader can type.
fn install_line(source: Source) -> String {
    let lines: Vec<String> = commands(source, Privilege::Sudo).iter().map(|words| words.join(" ")).collect();
    lines.join(" && ")
}

#[cfg(test)]
mod tests {
    use super::{Missing, Privilege, Source, TOOLS, commands, install_line};

    #[test]
    fn packages_are_installed_by_apt_get() {
        let source = Source::Packages(&["gcc", "libc6-dev"]);
        let as_root = commands(source, Privilege::Root);
        assert_eq!(as_root[0], ["apt-get", "update"]);
        assert_eq!(as_root[1], ["apt-get", "install", "-y", "--no-install-recommends", "gcc", "libc6-dev"]);
        let through_sudo = commands(source, Privilege::Sudo);
        assert!(through_sudo.iter().all(|line| line[..2] == ["sudo", "apt-get"]));
    }

    #[test]
    fn a_missing_tool_is_named_with_its_install_line() {
        for tool in TOOLS {
            let missing = Missing { tool: tool.name, install: install_line(tool.source) };
            let text = missing.to_string();
            assert!(text.contains(&format!("`{}`", tool.name)) && text.contains("install"), "{text}");
        }
        let deny = install_line(Source::Cargo(&["cargo-deny", "--locked"]));
        assert_eq!(deny, "cargo install cargo-deny --locked");
        assert_eq!(install_line(Source::Component("clippy")), "rustup component add clippy");
    }
}
