//! An attendee: an e-mail address or a name.

use std::collections::HashSet;
use std::fmt;

use super::field::{Field, Findings, Problem};
use super::text::one_line;

/// Characters an attendee may have: the longest e-mail address of RFC 5321 (64 + `@` + 255).
pub const MAX_ATTENDEE_CHARS: usize = 320;

/// Entries the list of attendees may have, repeated ones included.
pub const MAX_ATTENDEES: usize = 200;

/// An e-mail address or a plain name, trimmed, 1 to 320 characters on one line.
///
/// With an `@` it has the form of an address (`local@domain`, no white space, one `@`); whether the
/// address exists is not checked. It never holds `;`, the separator of the CSV form.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Attendee(String);

impl Attendee {
    /// Checks one attendee.
    ///
    /// # Errors
    ///
    /// The first rule of [`Attendee`] that `text` breaks.
    pub fn try_new(text: &str) -> Result<Self, Problem> {
        let text = one_line(text, MAX_ATTENDEE_CHARS)?;
        if text.contains(';') {
            return Err(Problem::Semicolon);
        }
        if text.contains('@') && !has_address_form(text) {
            return Err(Problem::NotAnAddress);
        }
        Ok(Self(text.to_owned()))
    }

    /// The text as it was given, without surrounding white space.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether this is an address, not a name.
    pub fn is_address(&self) -> bool {
        self.0.contains('@')
    }
}

impl fmt::Display for Attendee {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Checks only the shape of an address: all of RFC 5322 would accept addresses that no mail server
/// accepts.
fn has_address_form(text: &str) -> bool {
    text.split_once('@').is_some_and(|(local, domain)| {
        !local.is_empty() && !domain.is_empty() && !domain.contains('@') && !text.contains(char::is_whitespace)
    })
}

/// Checks a list, and records each refused entry under its index. Of entries that differ only in
/// case the first is kept, because they mean the same person.
pub(super) fn check_all(raw: &[String], findings: &mut Findings) -> Vec<Attendee> {
    if raw.len() > MAX_ATTENDEES {
        findings.note(Field::Attendees, Problem::TooMany { max: MAX_ATTENDEES, found: raw.len() });
        return Vec::new();
    }
    let mut seen = HashSet::new();
    raw.iter()
        .enumerate()
        .filter_map(|(index, text)| findings.keep(Field::Attendee(index), Attendee::try_new(text)))
        .filter(|attendee| seen.insert(attendee.0.to_lowercase()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_addresses_and_names() {
        assert!(Attendee::try_new(" ann@example.org ").is_ok_and(|a| a.is_address()));
        assert!(Attendee::try_new("Zoë, of Sales").is_ok_and(|a| !a.is_address()));
    }

    #[test]
    fn refuses_half_an_address_and_the_separator() {
        for text in ["ann@", "@example.org", "a@b@c", "Ann <ann@example.org>", "@"] {
            assert_eq!(Attendee::try_new(text), Err(Problem::NotAnAddress), "{text}");
        }
        assert_eq!(Attendee::try_new("a;b"), Err(Problem::Semicolon));
        assert_eq!(Attendee::try_new("  "), Err(Problem::Empty));
        let long = "x".repeat(MAX_ATTENDEE_CHARS + 1);
        assert_eq!(Attendee::try_new(&long), Err(Problem::TooLong { max: 320, found: 321 }));
    }

    #[test]
    fn keeps_the_first_of_repeated_entries() {
        let raw = ["Ann@x.org", "bob", "ann@X.org", "BOB", "ÉVA", "éva"].map(str::to_owned);
        let mut findings = Findings::default();
        let kept = check_all(&raw, &mut findings);
        assert_eq!(kept.iter().map(Attendee::as_str).collect::<Vec<_>>(), ["Ann@x.org", "bob", "ÉVA"]);
        assert!(findings.is_empty());
    }

    #[test]
    fn too_many_is_one_error() {
        let raw = vec![String::new(); MAX_ATTENDEES + 1];
        let mut findings = Findings::default();
        check_all(&raw, &mut findings);
        let problem = Problem::TooMany { max: 200, found: 201 };
        let errors = findings.into_errors();
        let noted: Vec<_> = errors.iter().map(|e| (e.field, e.problem.clone())).collect();
        assert_eq!(noted, [(Field::Attendees, problem)]);
    }
}
