//! Planted secrets never show, whatever becomes of the statement around them.

mod grammar;
mod postgres;

use tidegate_perfmon::{Dialect, fingerprint};
use tidegate_testkit::{Random, scale};

use self::grammar::Statement;

/// Changes one byte of a statement.
fn damage(sql: &str, random: &mut Random) -> String {
    const EVIL: &[u8] = b"''\"\"`$$[]()**//--;,..\\\\ \n\tEeXxUuNnBb&019_a@:?#\0\xff\xc3";
    let mut bytes = sql.as_bytes().to_vec();
    let at = random.below(bytes.len());
    let evil = EVIL[random.below(EVIL.len())];
    match random.below(10) {
        0..4 => bytes.truncate(at),
        4..6 => drop(bytes.drain(..at)),
        6..8 => bytes[at] = evil,
        8 => bytes.insert(at, evil),
        _ => drop(bytes.remove(at)),
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The longest rows of the letters, digits and hexadecimal digits that secrets alone are made of.
fn shows_a_secret(text: &str) -> bool {
    let (mut letters, mut digits, mut hex) = (0, 0, 0);
    text.bytes().any(|byte| {
        let byte = byte.to_ascii_lowercase();
        letters = if grammar::LETTERS.contains(&byte) { letters + 1 } else { 0 };
        digits = if byte.is_ascii_digit() { digits + 1 } else { 0 };
        hex = if byte.is_ascii_hexdigit() { hex + 1 } else { 0 };
        letters >= 4 || digits >= 5 || hex >= 7
    })
}

#[test]
fn no_planted_secret_ever_shows() {
    let cases = scale(50_000, 10_000_000) as u64;
    let threads = 2_u8;
    std::thread::scope(|scope| {
        for thread in 0..threads {
            scope.spawn(move || {
                let share = (u64::from(thread)..cases).step_by(usize::from(threads));
                let (mut damaged, mut read) = (0_u64, 0_u64);
                for case in share {
                    match one_case(case) {
                        Case::Whole => {}
                        Case::Damaged { is_read } => {
                            damaged += 1;
                            read += u64::from(is_read);
                        }
                    }
                }
                // A lexer that refuses everything would show nothing either.
                assert!(read * 10 > damaged, "only {read} of {damaged} damaged statements could be read");
            });
        }
    });
}

enum Case {
    Whole,
    Damaged { is_read: bool },
}

fn one_case(case: u64) -> Case {
    let dialect = if case.is_multiple_of(2) { Dialect::Sqlite } else { Dialect::Postgres };
    let mut random = Random::new(case);
    let is_damaged = random.below(5) > 0;
    let statement = Statement::random(case, dialect, !is_damaged);
    let mut text = String::new();
    if is_damaged {
        let sql = damage(&statement.sql, &mut random);
        fingerprint(&sql, dialect, &mut text);
        assert!(!shows_a_secret(&text), "case {case}: {text}\n  of {sql}\n  was {}", statement.sql);
        return Case::Damaged { is_read: !text.ends_with('…') };
    }
    let one = fingerprint(&statement.sql, dialect, &mut text);
    assert!(!shows_a_secret(&text), "case {case}: {text}\n  of {}", statement.sql);
    assert!(!text.ends_with('…'), "case {case} is not read: {}", statement.sql);
    // The same statement with other values has the same shape.
    let other = Statement::random(case, dialect, true).with_other_values(dialect);
    let mut other_text = String::new();
    assert_eq!(fingerprint(&other, dialect, &mut other_text), one, "case {case}:\n  {text}\n  {other_text}");
    Case::Whole
}

#[test]
fn any_input_is_read_or_refused_and_never_panics() {
    use proptest::prelude::*;
    proptest!(|(sql in "\\PC{0,80}|[ -~\\n]{0,200}|(select |from |'|\"|\\$|\\$a\\$|--|/\\*|\\*/|\\(|\\)|,|values|in|\\\\|x|1|;|\n| ){0,40}")| {
        for dialect in [Dialect::Sqlite, Dialect::Postgres] {
            let (mut text, mut again) = (String::new(), String::from("used before"));
            let one = fingerprint(&sql, dialect, &mut text);
            prop_assert_eq!(fingerprint(&sql, dialect, &mut again), one);
            prop_assert_eq!(&text, &again);
            prop_assert!(text.len() <= 4_096);
        }
    });
}
