//! Programs that the topology starts, and the packages that bring them.

use std::env;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::bail;

/// A program, the directories besides `PATH` where Debian installs it, and its package.
struct Program {
    name: &'static str,
    directories: &'static [&'static str],
    package: &'static str,
}

const NGINX: Program = Program { name: "nginx", directories: &["/usr/sbin"], package: "nginx" };
const PROMETHEUS: Program = Program { name: "prometheus", directories: &[], package: "prometheus" };

const NEEDED: &[Program] = &[
    NGINX,
    Program { name: "initdb", directories: &[], package: "postgresql" },
    Program { name: "redis-server", directories: &[], package: "redis-server" },
    Program { name: "redis-cli", directories: &[], package: "redis-tools" },
    Program { name: "openssl", directories: &[], package: "openssl" },
];

impl Program {
    fn find(&self) -> Option<PathBuf> {
        let path = env::var_os("PATH").unwrap_or_default();
        let known = self.directories.iter().map(PathBuf::from);
        env::split_paths(&path).chain(known).map(|directory| directory.join(self.name)).find(|file| file.is_file())
    }

    fn is_there(&self) -> bool {
        // Debian puts the server's programs into no search path.
        let is_postgresql = || {
            let versions = Path::new("/usr/lib/postgresql").read_dir().into_iter().flatten().flatten();
            versions.map(|version| version.path().join("bin").join(self.name)).any(|file| file.is_file())
        };
        self.find().is_some() || is_postgresql()
    }
}

/// Path of nginx.
///
/// # Errors
///
/// Programs are missing: the error names all of them and the command that installs them.
pub(super) fn nginx() -> anyhow::Result<PathBuf> {
    let missing: Vec<&Program> = NEEDED.iter().filter(|program| !program.is_there()).collect();
    if let (true, Some(nginx)) = (missing.is_empty(), NGINX.find()) {
        return Ok(nginx);
    }
    bail!("{}", describe(&missing))
}

fn describe(missing: &[&Program]) -> String {
    let mut text = String::from("the topology needs programs that are not installed:");
    for program in missing {
        let _ = write!(text, " {} (package {}),", program.name, program.package);
    }
    let packages: Vec<_> = missing.iter().map(|program| program.package).collect();
    format!("{} install them with: apt-get install {}", text.trim_end_matches(',').to_owned() + ";", packages.join(" "))
}

/// Path of Prometheus, or the sentence that says how to install it.
pub(super) fn prometheus() -> Result<PathBuf, String> {
    PROMETHEUS.find().ok_or_else(|| {
        format!("not started: it is not installed; install it with: apt-get install {}", PROMETHEUS.package)
    })
}

#[cfg(test)]
mod tests {
    use super::{NEEDED, Program, describe};

    #[test]
    fn what_is_missing_is_named_with_its_package() {
        let all: Vec<&Program> = NEEDED.iter().collect();
        let text = describe(&all);
        for program in NEEDED {
            assert!(text.contains(&format!("{} (package {})", program.name, program.package)), "{text}");
        }
        assert!(text.ends_with("apt-get install nginx postgresql redis-server redis-tools openssl"), "{text}");
    }
}
