//! Numbers of payment cards.

use std::ops::Range;

const SHORTEST: usize = 13;
const LONGEST: usize = 19;

/// What may divide the groups of a number, also as it stands in a URL.
const DIVIDERS: [&[u8]; 4] = [b" ", b"-", b"+", b"%20"];

/// Digits, in groups that one divider each divides, whose first is an issuer's and whose last one checks the others. Any part of the
/// groups may be the number: a date or a code may follow it.
pub(super) fn find(text: &str, secrets: &mut Vec<Range<usize>>) {
    let bytes = text.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        let is_within = at > 0 && bytes[at - 1].is_ascii_digit() && !bytes[..at].ends_with(b"%20");
        let begins = bytes[at].is_ascii_digit() && !is_within;
        if begins && let Some(end) = end_of_card(&bytes[at..]) {
            secrets.push(at..at + end);
            at += end;
        } else {
            at += 1;
        }
    }
}

/// The longest number that begins here and ends with a group.
fn end_of_card(bytes: &[u8]) -> Option<usize> {
    if !matches!(bytes.first(), Some(b'2'..=b'6')) {
        return None;
    }
    let (mut digits, mut count, mut end) = ([0; LONGEST], 0, None);
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        if byte.is_ascii_digit() {
            if count == LONGEST {
                break;
            }
            digits[count] = byte - b'0';
            count += 1;
            at += 1;
            let ends_a_group = !bytes.get(at).is_some_and(u8::is_ascii_digit);
            if ends_a_group && count >= SHORTEST && is_checked(&digits[..count]) {
                end = Some(at);
            }
            continue;
        }
        let Some(divider) = DIVIDERS.iter().find(|divider| bytes[at..].starts_with(divider)) else { break };
        at += divider.len();
        if !bytes.get(at).is_some_and(u8::is_ascii_digit) {
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
