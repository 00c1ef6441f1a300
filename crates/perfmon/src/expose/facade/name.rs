//! Names and labels such that Prometheus takes them, and no longer than they need to be.

use metrics::Key;

use crate::mask::mask;

/// Bytes of a name or of a label's value.
const LONGEST: usize = 256;
const MOST_LABELS: usize = 16;
/// How our own families begin.
const OURS: [&str; 3] = ["tidegate_", "cache_", "process_"];
/// Labels that a histogram or a summary gives its parts.
const RESERVED: [&str; 2] = ["le", "quantile"];

/// The name of a family; `None` for one of ours.
pub(super) fn family_name(name: &str) -> Option<String> {
    let name = clean(name, |char| char.is_ascii_alphanumeric() || matches!(char, '_' | ':'));
    (!OURS.iter().any(|ours| name.starts_with(ours))).then_some(name)
}

/// The labels of a key, in the order of names, each name once.
pub(super) fn labels_of(key: &Key) -> Vec<(String, String)> {
    let mut labels: Vec<(String, String)> = Vec::new();
    for label in key.labels() {
        let name = label_name(label.key());
        if labels.len() < MOST_LABELS && labels.iter().all(|(present, _)| *present != name) {
            // Masked before it is cut: half a secret may look like none.
            labels.push((name, cut(&mask(label.value())).to_owned()));
        }
    }
    labels.sort_unstable();
    labels
}

fn label_name(name: &str) -> String {
    let name = clean(name, |char| char.is_ascii_alphanumeric() || char == '_');
    if name.starts_with("__") || RESERVED.contains(&name.as_str()) { format!("label_{name}") } else { name }
}

/// Replaces characters that are not allowed in a name with `_`, and puts one before a first digit.
fn clean(name: &str, may_stand: impl Fn(char) -> bool) -> String {
    let name = cut(name);
    let before = if name.starts_with(|char: char| char.is_ascii_digit()) || name.is_empty() { "_" } else { "" };
    before.chars().chain(name.chars().map(|char| if may_stand(char) { char } else { '_' })).collect()
}

/// The first bytes of a text that is too long.
pub(super) fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(LONGEST)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_made_fit_and_ours_refused() {
        let fit = [("a.b-c", "a_b_c"), ("9lives", "_9lives"), ("", "_"), ("größe", "gr__e"), ("a:b", "a:b")];
        for (name, expected) in fit {
            assert_eq!(family_name(name).as_deref(), Some(expected));
        }
        for ours in ["tidegate.x", "tidegate_http_requests", "cache_hits", "process.cpu"] {
            assert_eq!(family_name(ours), None, "{ours}");
        }
        assert_eq!(family_name(&"x".repeat(10_000)).map(|name| name.len()), Some(LONGEST));
        assert_eq!(["le", "__name__", "a b"].map(label_name), ["label_le", "label___name__", "a_b"]);
    }
}
