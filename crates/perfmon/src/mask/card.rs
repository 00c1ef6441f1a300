//! Numbers of payment cards.

use std::ops::Range;

const SHORTEST: usize = 13;
const LONGEST: usize = 19;

/// Digits, in groups that one blank or dash each divides, whose first is an issuer's and whose last one checks the others. Any part of the
/// groups may be the number: a date or a code may follow it.
pub(super) fn find(text: &str, secrets: &mut Vec<Range<usize>>) {
    let bytes = text.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        let begins = bytes[at].is_ascii_digit() && (at == 0 || !bytes[at - 1].is_ascii_digit());
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
    for (at, byte) in bytes.iter().enumerate() {
        match byte {
            b'0'..=b'9' if count == LONGEST => break,
            b'0'..=b'9' => {
                digits[count] = byte - b'0';
                count += 1;
                let ends_a_group = !bytes.get(at + 1).is_some_and(u8::is_ascii_digit);
                if ends_a_group && count >= SHORTEST && is_checked(&digits[..count]) {
                    end = Some(at + 1);
                }
            }
            b' ' | b'-' if bytes.get(at + 1).is_some_and(u8::is_ascii_digit) => {}
            _ => break,
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
