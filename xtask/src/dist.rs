//! `cargo xtask dist`: the tarball of a release, for the machine that makes it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The programs of a release.
const PROGRAMS: [&str; 3] = ["tidegate-api", "tidegate-worker", CLI];
/// The one of them that has verbs and no settings.
const CLI: &str = "tidegate";
/// Most bytes that one of them may have.
const LARGEST: u64 = 45_000_000;
/// Completions of a shell, and the file name that it expects.
const SHELLS: [(&str, &str, &str); 3] = [("bash", "", ""), ("zsh", "_", ""), ("fish", "", ".fish")];

/// Builds the programs and packs them with the files that belong to them.
pub(crate) fn run(root: &Path) -> Result<String, String> {
    let programs = PROGRAMS.iter().flat_map(|program| ["--bin", program]);
    let build = ["build", "--profile", "dist", "--locked"].into_iter().chain(programs);
    execute(Command::new("cargo").current_dir(root).args(build))?;
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), |target| root.join(target));
    let package = format!("tidegate-{}-{}", env!("CARGO_PKG_VERSION"), host()?);
    let staging = target.join("package");
    let to = staging.join(&package);
    if to.exists() {
        fs::remove_dir_all(&to).map_err(|error| at(&to, &error))?;
    }
    for directory in ["bin", "completions", "help", "systemd"] {
        let directory = to.join(directory);
        fs::create_dir_all(&directory).map_err(|error| at(&directory, &error))?;
    }
    let mut sizes = String::new();
    for program in PROGRAMS {
        let size = add_program(&target.join("dist").join(program), &to, program)?;
        sizes.push_str(&format!("{program:<16} {:>5.1} MB\n", size as f64 / 1e6));
    }
    write(&to.join("tidegate.toml"), &settings(&to.join("bin").join(PROGRAMS[0]))?)?;
    for file in ["LICENSE-APACHE", "LICENSE-MIT", "CHANGELOG.md", "deploy/systemd"] {
        execute(Command::new("cp").arg("-r").arg(root.join(file)).arg(&to))?;
    }
    for program in PROGRAMS.into_iter().filter(|program| *program != CLI) {
        let mut check = Command::new(to.join("bin").join(program));
        execute(check.current_dir(&to).env_clear().args(["--config", "tidegate.toml", "--check"]))?;
    }
    let sums = "find . -type f ! -name SHA256SUMS -printf '%P\\n' | LC_ALL=C sort | xargs sha256sum > SHA256SUMS";
    execute(Command::new("sh").current_dir(&to).args(["-c", sums]))?;
    let tarball = format!("{package}.tar.gz");
    // The same files make the same tarball at any time.
    let time = output(Command::new("git").current_dir(root).args(["log", "-1", "--format=@%ct"]))?;
    let mut tar = Command::new("tar");
    tar.current_dir(&staging).args(["--sort=name", "--owner=0", "--group=0", "--numeric-owner"]);
    execute(tar.args(["--mtime", time.trim(), "-czf", &tarball, &package]))?;
    let sum = format!("sha256sum {tarball} > {tarball}.sha256");
    execute(Command::new("sh").current_dir(&staging).args(["-c", &sum]))?;
    Ok(format!("{sizes}{}", staging.join(tarball).display()))
}

/// Adds a program without its symbols, its help and its completions, and returns its size.
fn add_program(built: &Path, to: &Path, name: &str) -> Result<u64, String> {
    let program = to.join("bin").join(name);
    execute(Command::new("strip").arg("-o").arg(&program).arg(built))?;
    let size = fs::metadata(&program).map_err(|error| at(&program, &error))?.len();
    if size > LARGEST {
        return Err(format!("{name} has {size} bytes, and may have {LARGEST}"));
    }
    write(&to.join(format!("help/{name}.txt")), &output(Command::new(&program).arg("--help"))?)?;
    for (shell, before, behind) in SHELLS {
        let mut completions = Command::new(&program);
        completions.args([if name == CLI { "completions" } else { "--completions" }, shell]);
        let file = to.join(format!("completions/{before}{name}{behind}"));
        let file = if shell == "bash" { file.with_extension("bash") } else { file };
        write(&file, &output(&mut completions)?)?;
    }
    Ok(size)
}

/// An example of the settings file: every setting with its default, each behind a `#`.
fn settings(api: &Path) -> Result<String, String> {
    let nowhere = std::env::temp_dir();
    let shown = output(Command::new(api).current_dir(nowhere).env_clear().arg("--print-settings"))?;
    let lines = shown.lines().map(|line| match line.split_once(" = ") {
        Some(_) if !line.starts_with('#') => format!("#{line}"),
        _ => line.to_owned(),
    });
    let head = "# Settings of Tidegate. Take the # off a line to set it. Variables win over this file.\n\n";
    Ok(lines.fold(head.to_owned(), |text, line| text + &line + "\n"))
}

fn host() -> Result<String, String> {
    let told = output(Command::new("rustc").arg("-vV"))?;
    let host = told.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(str::to_owned).ok_or_else(|| "rustc -vV names no host".to_owned())
}

fn write(path: &PathBuf, text: &str) -> Result<(), String> {
    fs::write(path, text).map_err(|error| at(path, &error))
}

fn at(path: &Path, error: &std::io::Error) -> String {
    format!("{}: {error}", path.display())
}

fn execute(command: &mut Command) -> Result<(), String> {
    let status = command.status().map_err(|error| format!("{command:?} does not start: {error}"))?;
    if status.success() { Ok(()) } else { Err(format!("{command:?}: {status}")) }
}

fn output(command: &mut Command) -> Result<String, String> {
    let output = command.output().map_err(|error| format!("{command:?} does not start: {error}"))?;
    if !output.status.success() {
        return Err(format!("{command:?}: {}", String::from_utf8_lossy(&output.stderr)));
    }
    String::from_utf8(output.stdout).map_err(|_| format!("{command:?} prints no UTF-8"))
}
