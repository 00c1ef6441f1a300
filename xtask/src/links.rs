//! Relative links of the documents: the file that each names has to exist.

pub(crate) mod llms;

use std::path::{Path, PathBuf};
use std::{fs, io};

/// Checks every Markdown file at the root and under `docs/` and `deploy/`, and `llms.txt`.
pub(crate) fn check(root: &Path) -> Result<String, String> {
    let (mut checked, mut broken) = (0, Vec::new());
    let documents = documents(root).map_err(|error| format!("the documents cannot be listed: {error}"))?;
    for document in &documents {
        let text = fs::read_to_string(document).map_err(|error| format!("{}: {error}", document.display()))?;
        for (line, target) in links(&text) {
            let Some(path) = file_of(target) else { continue };
            checked += 1;
            if !resolve(root, document, path).exists() {
                let document = document.strip_prefix(root).unwrap_or(document);
                broken.push(format!("{}:{line}: `{target}` leads nowhere", document.display()));
            }
        }
    }
    if broken.is_empty() {
        llms::check(root, &documents)?;
        Ok(format!("{checked} relative links in {} documents lead to a file", documents.len()))
    } else {
        Err(format!("broken links:\n  {}", broken.join("\n  ")))
    }
}

pub(crate) fn documents(root: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = entries(root)?;
    let mut directories = vec![root.join("docs"), root.join("deploy")];
    while let Some(directory) = directories.pop() {
        if directory.is_dir() {
            let (below, files): (Vec<_>, Vec<_>) = entries(&directory)?.into_iter().partition(|path| path.is_dir());
            directories.extend(below);
            found.extend(files);
        }
    }
    found.retain(|path| path.extension().is_some_and(|extension| extension == "md"));
    found.sort();
    Ok(found)
}

fn entries(directory: &Path) -> io::Result<Vec<PathBuf>> {
    fs::read_dir(directory)?.map(|entry| Ok(entry?.path())).collect()
}

/// Targets of links, images and reference definitions with their line numbers, outside code.
fn links(text: &str) -> Vec<(usize, &str)> {
    let mut found = Vec::new();
    let mut fence: Option<&str> = None;
    for (index, line) in text.lines().enumerate() {
        let start = line.trim_start();
        if let Some(mark) = ["```", "~~~"].into_iter().find(|mark| start.starts_with(mark)) {
            match fence {
                None => fence = Some(mark),
                Some(open) if open == mark => fence = None,
                Some(_) => {}
            }
            continue;
        }
        if fence.is_none() {
            found.extend(links_of_line(line).into_iter().map(|target| (index + 1, target)));
        }
    }
    found
}

fn links_of_line(line: &str) -> Vec<&str> {
    let mut targets = Vec::new();
    // Every second part between backquotes is code. "[`x`](target)" keeps its "](target)" outside.
    for text in line.split('`').step_by(2) {
        for (position, _) in text.match_indices("](") {
            targets.extend(target(&text[position + 2..], ')'));
        }
    }
    if let Some(("", definition)) = line.split_once('[').map(|(before, after)| (before.trim(), after))
        && let Some((_, after)) = definition.split_once("]:")
    {
        targets.extend(target(after.trim_start(), ' '));
    }
    targets
}

/// The target at the beginning of `text`, up to `end`, without a title and angle brackets.
fn target(text: &str, end: char) -> Option<&str> {
    let text = match text.strip_prefix('<') {
        Some(bracketed) => bracketed.split_once('>')?.0,
        None => text.split([end, ' ']).next()?,
    };
    (!text.is_empty()).then_some(text)
}

/// Returns the file that a target names; `None` for other sites, addresses and anchors in the same
/// document.
fn file_of(target: &str) -> Option<&str> {
    let path = target.split(['#', '?']).next()?;
    let elsewhere = target.contains("://") || target.starts_with("mailto:");
    (!elsewhere && !path.is_empty()).then_some(path)
}

/// Relative to the document, or to the root with a leading slash.
fn resolve(root: &Path, document: &Path, path: &str) -> PathBuf {
    match path.strip_prefix('/') {
        Some(path) => root.join(path),
        None => document.parent().unwrap_or(root).join(path),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{file_of, links, resolve};

    fn targets(text: &str) -> Vec<&str> {
        links(text).into_iter().map(|(_, target)| target).collect()
    }

    #[test]
    fn links_images_and_definitions_are_found() {
        assert_eq!(targets("See [a](docs/a.md) and ![b](b.png \"title\")."), ["docs/a.md", "b.png"]);
        assert_eq!(
            targets("[`Cache`](crates/cache/src/lib.rs), [c](<with space.md>)"),
            ["crates/cache/src/lib.rs", "with space.md"]
        );
        assert_eq!(targets("  [ref]: docs/ref.md \"title\""), ["docs/ref.md"]);
        assert_eq!(links("one\n\n[two](2.md)"), [(3, "2.md")]);
    }

    #[test]
    fn code_is_not_looked_at() {
        assert_eq!(targets("```\n[a](a.md)\n~~~\n[b](b.md)\n```\n[c](c.md)"), ["c.md"]);
        assert_eq!(targets("`[a](a.md)` but [b](b.md)"), ["b.md"]);
    }

    #[test]
    fn only_files_are_checked() {
        for elsewhere in ["https://example.org/a.md", "mailto:a@example.org", "#words"] {
            assert_eq!(file_of(elsewhere), None, "{elsewhere}");
        }
        assert_eq!(file_of("docs/a.md#words"), Some("docs/a.md"));
    }

    #[test]
    fn paths_are_relative_to_their_document() {
        let (root, document) = (Path::new("/r"), Path::new("/r/docs/a.md"));
        assert_eq!(resolve(root, document, "b.md"), Path::new("/r/docs/b.md"));
        assert_eq!(resolve(root, document, "../README.md"), Path::new("/r/docs/../README.md"));
        assert_eq!(resolve(root, document, "/README.md"), Path::new("/r/README.md"));
    }
}
