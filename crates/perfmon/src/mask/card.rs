//! Numbers of payment cards.

use std::ops::Range;

const SHORTEST: usize = 13;
const LONGEST: usize = 19;

/// Dividers between the groups of a number.
const DIVIDERS: [(&[u8], Groups); 10] = [
    // As of columns; before the single one.
    (b"  ", Groups::OfFour),
    (b" ", Groups::Any),
    (b"-", Groups::Any),
    (b"+", Groups::Any),
    (b"\t", Groups::Any),
    ("\u{a0}".as_bytes(), Groups::Any),
    (b".", Groups::OfFour),
    (b"_", Groups::OfFour),
    (b",", Groups::Alone),
    (b"/", Groups::Alone),
];

/// The groups that are allowed with a divider.
#[derive(Clone, Copy, PartialEq)]
enum Groups {
    Any,
    /// The first group has four digits, and all but the last have four to six, as printed on cards.
    /// Dates, versions and file names have other groups.
    OfFour,
    /// The same, and no other such group before or behind them: that is a list of numbers.
    Alone,
}

const GROUP: usize = 4;
const LONGEST_GROUP: usize = 6;

/// Finds digits in groups with one kind of divider, whose first digits belong to an issuer and
/// whose check digit is right. Any part of the groups may be the number: a date or a code may
/// follow it, and zeros may pad the digits before it.
pub(super) fn find(text: &str, secrets: &mut Vec<Range<usize>>) {
    let bytes = text.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        let is_within = at > 0 && bytes[at - 1].is_ascii_digit();
        if !bytes[at].is_ascii_digit() || is_within || is_fraction(&bytes[..at]) {
            at += 1;
            continue;
        }
        let noughts = bytes[at..].iter().take_while(|&&byte| byte == b'0').count();
        let start = at + noughts;
        if let Some(end) = end_of_card(&bytes[start..]).filter(|&end| !is_of_list(bytes, start, start + end)) {
            let end = start + end;
            secrets.push(at..end);
            at = end;
        } else {
            at += noughts.max(1);
        }
    }
}

/// Returns whether the following digits are the fraction of a number: fractions often have as many
/// digits as a card.
fn is_fraction(before: &[u8]) -> bool {
    let Some(whole) = before.strip_suffix(b".") else { return false };
    let digits = whole.iter().rev().take_while(|byte| byte.is_ascii_digit()).count();
    (1..GROUP).contains(&digits)
}

/// Whether the groups at `start..end` are some of a longer list of such.
fn is_of_list(bytes: &[u8], start: usize, end: usize) -> bool {
    [b',', b'/'].into_iter().filter(|divider| bytes[start..end].contains(divider)).any(|divider| {
        let before = bytes[..start].strip_suffix(&[divider]);
        let behind = bytes[end..].strip_prefix(&[divider]).map(|rest| rest.get(..GROUP));
        before.is_some_and(|before| before.last().is_some_and(u8::is_ascii_digit))
            || behind.flatten().is_some_and(|group| group.iter().all(u8::is_ascii_digit))
    })
}

/// The longest number that begins here and ends with a group.
fn end_of_card(bytes: &[u8]) -> Option<usize> {
    match bytes {
        // No issuer's number begins like a year of ours.
        [b'2', b'2'..=b'7', ..] | [b'3'..=b'6', ..] => {}
        _ => return None,
    }
    let (mut digits, mut count, mut end) = ([0; LONGEST], 0, None);
    // Digits of this group, and what those before were.
    let (mut group, mut are_of_four) = (0, true);
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        if byte.is_ascii_digit() {
            if count == LONGEST {
                break;
            }
            digits[count] = byte - b'0';
            count += 1;
            group += 1;
            at += 1;
            let ends_a_group = !bytes.get(at).is_some_and(u8::is_ascii_digit);
            if ends_a_group && count >= SHORTEST && is_checked(&digits[..count]) {
                end = Some(at);
            }
            continue;
        }
        let Some((divider, groups)) = DIVIDERS.iter().find(|(divider, _)| bytes[at..].starts_with(divider)) else {
            break;
        };
        are_of_four &= if count == group { group == GROUP } else { (GROUP..=LONGEST_GROUP).contains(&group) };
        at += divider.len();
        group = 0;
        if !bytes.get(at).is_some_and(u8::is_ascii_digit) || (*groups != Groups::Any && !are_of_four) {
            break;
        }
    }
    end
}

/// The formula of Luhn.
fn is_checked(digits: &[u8]) -> bool {
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(place, &digit)| {
            let doubled = u32::from(digit) << (place % 2);
            if doubled > 9 { doubled - 9 } else { doubled }
        })
        .sum();
    sum.is_multiple_of(10)
}
