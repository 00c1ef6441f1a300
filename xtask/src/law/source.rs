//! The part of the law that no manifest shows: names that only some files may use.

use std::path::{Path, PathBuf};
use std::{fs, io};

use super::table::{CONFINED_NAMES, ConfinedName};

/// Returns every breach.
pub(super) fn check(root: &Path) -> Result<Vec<String>, String> {
    let mut breaches = Vec::new();
    for law in CONFINED_NAMES {
        let directory = root.join(law.directory);
        let files = rust_files(&directory).map_err(|error| format!("{}: {error}", directory.display()))?;
        let mut naming = Vec::new();
        for file in files {
            let text = fs::read_to_string(&file).map_err(|error| format!("{}: {error}", file.display()))?;
            let path = file.strip_prefix(&directory).unwrap_or(&file).to_string_lossy().into_owned();
            breaches.extend(judge(law, &path, &text));
            if text.lines().any(|line| names(code(line), law.name)) {
                naming.push(path);
            }
        }
        breaches.extend(unused(law, &naming));
    }
    Ok(breaches)
}

/// Judges one file, whose `path` is relative to the law's directory.
fn judge(law: &ConfinedName, path: &str, text: &str) -> Vec<String> {
    if law.only_in.iter().any(|allowed| path.starts_with(allowed)) {
        return Vec::new();
    }
    let named = text.lines().enumerate().filter(|(_, line)| names(code(line), law.name));
    named
        .map(|(index, _)| {
            let ConfinedName { name, directory, only_in } = law;
            format!("{directory}/{path}:{} names `{name}`, which only {} may", index + 1, only_in.join(", "))
        })
        .collect()
}

/// Returns permissions that no file of `naming` (the files with the name) uses.
fn unused(law: &ConfinedName, naming: &[String]) -> Vec<String> {
    let unused = law.only_in.iter().filter(|allowed| !naming.iter().any(|path| path.starts_with(*allowed)));
    unused
        .map(|allowed| {
            format!("the law permits {}/{allowed} to name `{}`, but nothing there does", law.directory, law.name)
        })
        .collect()
}

/// Returns the line without its comment: documents may name what the code may not.
fn code(line: &str) -> &str {
    line.split_once("//").map_or(line, |(code, _)| code)
}

/// Whether `code` contains `name` as a whole word, outside of texts in quotes.
fn names(code: &str, name: &str) -> bool {
    let words = |code: &str| {
        code.split(|character: char| !character.is_alphanumeric() && character != '_').any(|word| word == name)
    };
    code.split('"').step_by(2).any(words)
}

/// All Rust files under `directory`.
pub(super) fn rust_files(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if path.is_dir() {
            files.extend(rust_files(&path)?);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::{judge, unused};
    use crate::law::table::ConfinedName;

    const LAW: ConfinedName =
        ConfinedName { name: "sqlx", directory: "crates/queue/src", only_in: &["broker/sqlite", "outbox.rs"] };

    #[test]
    fn a_name_outside_its_files_is_caught_with_its_line() {
        for line in ["use sqlx::Row;", "    fn f(row: &::sqlx::Row) {}", "#[derive(sqlx::FromRow)] // a row"] {
            let text = format!("//! A worker.\n{line}\n");
            let breaches = judge(&LAW, "worker.rs", &text);
            assert_eq!(
                breaches,
                ["crates/queue/src/worker.rs:2 names `sqlx`, which only broker/sqlite, outbox.rs may"]
            );
        }
    }

    #[test]
    fn a_permission_under_which_nothing_has_the_name_is_a_breach() {
        let naming = ["broker/sqlite/rows.rs", "worker.rs"].map(str::to_owned);
        let expected = "the law permits crates/queue/src/outbox.rs to name `sqlx`, but nothing there does";
        assert_eq!(unused(&LAW, &naming), [expected]);
    }

    #[test]
    fn comments_texts_and_longer_words_are_free() {
        let text = "//! As sqlx does.\nlet my_sqlx = sqlx_like(); // sqlx\n/// sqlx\nf(\"sqlx\", \"a sqlx b\");\n";
        assert_eq!(judge(&LAW, "worker.rs", text), Vec::<String>::new());
    }

    #[test]
    fn its_own_files_may() {
        for path in ["broker/sqlite.rs", "broker/sqlite/rows.rs", "broker/sqlite_schema.rs", "outbox.rs"] {
            assert!(judge(&LAW, path, "use sqlx::Row;").is_empty(), "{path}");
        }
        assert_eq!(judge(&LAW, "broker/memory.rs", "use sqlx::Row;").len(), 1);
        assert_eq!(judge(&LAW, "sqlite.rs", "use sqlx::Row;").len(), 1);
    }
}
