//! `llms.txt`: the list of all pages for programs, made of `docs/README.md` and
//! `docs/operations.md`.

use std::fmt::Write as _;
use std::path::{Component, Path, PathBuf};
use std::{fs, io};

use super::file_of;

const FILE: &str = "llms.txt";
/// The pages that list others.
const INDEXES: [&str; 2] = ["docs/README.md", "docs/operations.md"];
const HEAD: &str = "# Tidegate\n\n> Tiered caching, rate limiting, durable jobs and performance monitoring for Rust \
                    services, on Redis or Valkey and PostgreSQL, with an embedded default that needs no server.\n";

/// Writes the file.
pub(crate) fn write(root: &Path) -> Result<String, String> {
    let text = made(root).map_err(|error| format!("{FILE} cannot be made: {error}"))?;
    fs::write(root.join(FILE), text).map_err(|error| format!("{FILE} cannot be written: {error}"))?;
    Ok(format!("{FILE} is written"))
}

/// Checks that the file is up to date, and that an index names every page below `docs/`.
pub(crate) fn check(root: &Path, documents: &[PathBuf]) -> Result<(), String> {
    let made = made(root).map_err(|error| format!("{FILE} cannot be made: {error}"))?;
    for page in documents.iter().filter_map(|page| page.strip_prefix(root).ok()) {
        let page = page.to_string_lossy();
        if page.starts_with("docs/") && !INDEXES.contains(&&*page) && !made.contains(&format!("]({page})")) {
            return Err(format!("neither {} nor {} names {page}", INDEXES[0], INDEXES[1]));
        }
    }
    if fs::read_to_string(root.join(FILE)).unwrap_or_default() == made {
        Ok(())
    } else {
        Err(format!("{FILE} differs from {}; `cargo xtask llms` makes it again", INDEXES[0]))
    }
}

fn made(root: &Path) -> io::Result<String> {
    let mut text = HEAD.to_owned();
    for index in INDEXES {
        let below = Path::new(index).parent().unwrap_or(Path::new(""));
        for section in sections(&fs::read_to_string(root.join(index))?) {
            let _ = write!(text, "\n## {}\n\n", section.title);
            for item in section.items {
                let _ = writeln!(text, "- {}", from_root(&item, below));
            }
        }
    }
    Ok(text)
}

#[derive(Debug, PartialEq, Eq)]
struct Section {
    title: String,
    items: Vec<String>,
}

/// Sections with a list. Each item is one line.
fn sections(page: &str) -> Vec<Section> {
    let mut found: Vec<Section> = Vec::new();
    for line in page.lines() {
        if let Some(title) = line.strip_prefix("## ") {
            found.push(Section { title: title.to_owned(), items: Vec::new() });
        } else if let Some(section) = found.last_mut() {
            if let Some(item) = line.strip_prefix("- ") {
                section.items.push(item.to_owned());
            } else if let (Some(rest), Some(item)) = (line.strip_prefix("  "), section.items.last_mut()) {
                item.push(' ');
                item.push_str(rest);
            }
        }
    }
    found.retain(|section| !section.items.is_empty());
    found
}

/// Makes the links of an item to files, which are relative to `below`, relative to the root.
fn from_root(item: &str, below: &Path) -> String {
    let mut parts = item.split("](");
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (target, rest) = part.split_once(')').unwrap_or((part, ""));
        let target = match file_of(target) {
            Some(_) => normal(&below.join(target)).display().to_string(),
            None => target.to_owned(),
        };
        let _ = write!(text, "]({target}){rest}");
    }
    text
}

/// Resolves each `..` of a path.
fn normal(path: &Path) -> PathBuf {
    let mut normal = PathBuf::new();
    for component in path.components() {
        match component {
            Component::ParentDir => drop(normal.pop()),
            other => normal.push(other),
        }
    }
    normal
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_item_may_have_two_lines() {
        let page = "# Page\n\n- not in a section\n\n## One\n\n- [a](a.md): first\n  line\n- [b](b.md)\n\n## Empty\n";
        let items = vec!["[a](a.md): first line".to_owned(), "[b](b.md)".to_owned()];
        assert_eq!(sections(page), [Section { title: "One".to_owned(), items }]);
    }

    #[test]
    fn links_start_at_the_root() {
        let item = "[a](x/a.md#part): and [b](../deploy/b.md)";
        assert_eq!(from_root(item, Path::new("docs")), "[a](docs/x/a.md#part): and [b](deploy/b.md)");
        let item = "[c](https://example.com/c/../d)";
        assert_eq!(from_root(item, Path::new("docs")), item);
    }
}
