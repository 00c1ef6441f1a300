use clap::{Command, CommandFactory};

use crate::arguments::Arguments;

const MANUAL: &str = include_str!("../../../../docs/reference/cli.md");
/// Exit codes that `--help` names.
const CODES: u8 = 8;

/// Every verb with its noun, such as `queue list`.
fn verbs() -> Vec<String> {
    let has_verbs = |command: &Command| command.get_subcommands().next().is_some();
    let command = Arguments::command();
    command
        .get_subcommands()
        .flat_map(|noun| {
            let verbs = noun.get_subcommands().map(|verb| format!("{} {}", noun.get_name(), verb.get_name()));
            let alone = (!has_verbs(noun)).then(|| noun.get_name().to_owned());
            verbs.chain(alone).collect::<Vec<_>>()
        })
        .collect()
}

#[test]
fn the_command_line_is_sound() {
    Arguments::command().debug_assert();
}

#[test]
fn at_least_25_verbs_are_there_and_each_is_in_the_manual() {
    let verbs = verbs();
    assert!(verbs.len() >= 25, "{verbs:?}");
    let missing: Vec<_> = verbs.iter().filter(|verb| !MANUAL.contains(&format!("`{verb}`"))).collect();
    assert!(missing.is_empty(), "docs/reference/cli.md does not name {missing:?}");
}

#[test]
fn the_manual_names_no_verb_that_is_not_there() {
    let table = MANUAL.split_once("\n## Verbs\n").expect("the chapter").1;
    let table = table.split_once("\n## ").map_or(table, |(chapter, _)| chapter);
    let verbs = verbs();
    for line in table.lines().filter(|line| line.starts_with("| `")) {
        let verb = line.split('`').nth(1).unwrap_or_default();
        assert!(verbs.iter().any(|known| known == verb), "docs/reference/cli.md names `{verb}`");
    }
}

#[test]
fn help_and_manual_name_every_exit_code() {
    let help = Arguments::command().render_help().to_string();
    for code in 0..CODES {
        assert!(help.contains(&format!("\n  {code}  ")), "{code} is not in --help");
        assert!(MANUAL.contains(&format!("\n| {code} |")), "{code} is not in docs/reference/cli.md");
    }
}
