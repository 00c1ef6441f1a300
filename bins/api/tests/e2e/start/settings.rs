//! Options that print or check the settings.

use tidegate_testkit::{Process, Scratch, binary};

use super::commands::plain;
use super::{ADMIN, READ};
use crate::harness::run;

#[tokio::test]
async fn help_names_settings_and_exit_codes() {
    for program in ["tidegate-api", "tidegate-worker"] {
        let ended = run(Process::builder(binary(program)).arg("--help")).await;
        assert_eq!(ended.code, Some(0));
        for part in ["--config", "--check", "TIDEGATE_LISTEN", "TIDEGATE_DATA_DIR", "RUST_LOG", "Exit codes"] {
            assert!(ended.out.contains(part), "{program} {part}: {}", ended.out);
        }
        assert!(ended.out.contains("\nRate limits:\n  TIDEGATE_LIMIT_DDOS "), "{}", ended.out);
        let short = run(Process::builder(binary(program)).arg("-h")).await;
        assert_eq!(short.code, Some(0));
        assert!(short.out.lines().count() <= 24, "fits on a screen: {}", short.out);
        assert!(short.out.contains("--check") && short.out.contains("`--help` also lists"), "{}", short.out);
        let ended = run(Process::builder(binary(program)).arg("--version")).await;
        assert_eq!((ended.code, ended.out), (Some(0), format!("{program} {}\n", env!("CARGO_PKG_VERSION"))));
    }
}

#[tokio::test]
async fn check_judges_the_settings_and_touches_nothing() {
    let scratch = Scratch::new();
    let good = run(plain(scratch.path()).arg("--check")).await;
    assert_eq!((good.code, good.err.as_str()), (Some(0), ""));
    let bad = run(plain(scratch.path()).arg("--check").env("TIDEGATE_CACHE_SIZE", "many")).await;
    assert_eq!(bad.code, Some(2));
    assert!(bad.err.contains("TIDEGATE_CACHE_SIZE"), "{}", bad.err);
    assert_eq!(std::fs::read_dir(scratch.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn check_reports_all_faults_and_a_misspelt_variable_is_one() {
    let scratch = Scratch::new();
    let faults = [("TIDEGATE_CACHE_SIZE", "many"), ("TIDEGATE_LIMIT_API", "often"), ("TIDEGATE_LISTN", "127.0.0.1:0")];
    // A start refuses what a check does.
    for arguments in [&["--check"][..], &[]] {
        let program = plain(scratch.path()).args(arguments);
        let bad = run(faults.iter().fold(program, |program, (name, value)| program.env(name, value))).await;
        assert_eq!((bad.code, bad.err.lines().count()), (Some(2), faults.len()), "{}", bad.err);
        for (name, _) in faults {
            assert_eq!(bad.err.lines().filter(|line| line.contains(name)).count(), 1, "{name}: {}", bad.err);
        }
        assert!(bad.err.contains("did you mean TIDEGATE_LISTEN?"), "{}", bad.err);
    }
    assert_eq!(std::fs::read_dir(scratch.path()).unwrap().count(), 0);
}

#[test]
fn a_reader_that_has_seen_enough_ends_nothing_with_a_panic() {
    let scratch = Scratch::new();
    let ended = |program: &str, argument: &str, out: std::process::Stdio| {
        let mut command = std::process::Command::new(binary(program));
        let command = command.arg(argument).env_clear().current_dir(scratch.path()).stdout(out);
        let ended = command.output().expect("it ends");
        (ended.status.code(), String::from_utf8_lossy(&ended.stderr).into_owned())
    };
    for program in ["tidegate-api", "tidegate-worker"] {
        for argument in ["--print-settings", "--help", "--version", "--check"] {
            let (reader, writer) = std::io::pipe().expect("a pipe");
            drop(reader);
            assert_eq!(ended(program, argument, writer.into()), (Some(0), String::new()), "{program} {argument}");
        }
    }
    let full = std::fs::File::options().write(true).open("/dev/full").expect("it is there");
    let (code, words) = ended("tidegate-api", "--print-settings", full.into());
    assert!(code == Some(1) && words.contains("No space left"), "{words}");
}

#[tokio::test]
async fn changed_settings_are_printed_without_the_defaults() {
    let scratch = Scratch::new();
    let program = || Process::builder(binary("tidegate-api")).current_dir(scratch.path()).arg("--print-settings");
    let none = run(program().arg("--changed")).await;
    assert_eq!((none.code, none.out.as_str()), (Some(0), "# every setting has its default\n"), "{}", none.err);
    let changes = [("TIDEGATE_CACHE_SIZE", "7MiB"), ("TIDEGATE_ADMIN_TOKEN", ADMIN), ("TIDEGATE_DATA_DIR", "./data")];
    let some = run(changes.iter().fold(program().arg("--changed"), |program, (name, value)| program.env(name, value)));
    let some = some.await;
    let lines: Vec<_> = some.out.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).collect();
    assert_eq!(lines, ["tokens.admin = \"****\"", "cache.size = \"7MiB\""], "{}", some.out);
    let alone = run(Process::builder(binary("tidegate-api")).current_dir(scratch.path()).arg("--changed")).await;
    assert!(alone.code == Some(2) && alone.err.contains("--print-settings"), "{}", alone.err);
}

#[tokio::test]
async fn printed_settings_show_their_source_and_mask_secrets() {
    let scratch = Scratch::new();
    let file = scratch.join("settings.toml");
    std::fs::write(&file, format!("import = 'chunk=77'\n[tokens]\nread = '{READ}'\n")).unwrap();
    let secrets = [
        ("TIDEGATE_ADMIN_TOKEN", ADMIN),
        ("REDIS_URL", "redis://:hunter2-redis@127.0.0.1"),
        ("DATABASE_URL", "postgres://app:hunter2-postgres@127.0.0.1/app"),
    ];
    let program = plain(scratch.path()).arg("--print-settings").arg("--config").arg(&file);
    let ended = run(secrets.iter().fold(program, |program, (name, value)| program.env(name, value))).await;
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    for part in
        ["tokens.admin = \"****\"", "tokens.read = \"****\"", "import = \"chunk=77\"", "listen = \"127.0.0.1:0\""]
    {
        assert!(ended.out.contains(part), "{part}: {}", ended.out);
    }
    for source in ["environment variable TIDEGATE_ADMIN_TOKEN", "settings.toml", ", default"] {
        assert!(ended.out.contains(source), "{source}: {}", ended.out);
    }
    for secret in [ADMIN, READ, "hunter2"] {
        assert!(!ended.out.contains(secret) && !ended.err.contains(secret), "{secret} is shown");
    }
}
