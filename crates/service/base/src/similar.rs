//! Suggestions for misspelt names.

/// Returns the known name that differs from `name` in the fewest letters. `None` if all differ in
/// more than a third of their letters.
///
/// A name in the wrong table of a file is found by its last part: `ddos_allow` is like
/// `limits.ddos_allow`.
pub fn most_like<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let most = (name.chars().count() / 3).max(1);
    let last = |name: &str| name.rsplit('.').next().unwrap_or_default().to_owned();
    let distance = |known: &str| {
        let whole = strsim::damerau_levenshtein(name, known);
        whole.min(strsim::damerau_levenshtein(&last(name), &last(known)) + 1)
    };
    known.map(|known| (distance(known), known)).filter(|(distance, _)| *distance <= most).min().map(|(_, known)| known)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_is_found_and_another_word_is_not() {
        let known = ["listen", "log", "limits.api", "limits.ddos_allow", "cache.warm_up"];
        for (name, like) in [
            ("listn", Some("listen")),
            ("lsiten", Some("listen")),
            ("limits.ddos_alow", Some("limits.ddos_allow")),
            ("ddos_allow", Some("limits.ddos_allow")),
            ("cache.warm-up", Some("cache.warm_up")),
            ("zzz", None),
            ("", None),
        ] {
            assert_eq!(most_like(name, known.into_iter()), like, "{name}");
        }
    }
}
