use proptest::prelude::*;

use super::*;

fn read(bytes: &[u8]) -> Vec<Entry<String>> {
    Lines::new(bytes, Position::START).map(Result::unwrap).collect()
}

fn drafts(text: &str) -> Vec<Result<String, String>> {
    read(text.as_bytes())
        .iter()
        .map(|entry| match entry {
            Entry::Record(record) => {
                draft(record).map(|draft| draft.title().to_owned()).map_err(|reject| reject.to_string())
            }
            Entry::Malformed(malformed) => Err(malformed.reason.to_string()),
        })
        .collect()
}

#[test]
fn one_object_a_line() {
    let object = r#"{"title":"A","starts_at":"2026-01-01T09:00:00Z","ends_at":"2026-01-01T10:00:00Z"}"#;
    let text = format!("\u{FEFF}{object}\r\n \t\n\n{object} {object}\n[1]\n{{\"x\":1}}\n{object}");
    let found = drafts(&text);
    assert_eq!(found[0], Ok("A".into()));
    assert_eq!(found[1], Err("line 4: column 83: trailing characters".into()));
    assert_eq!(found[2], Err("line 5: is not a JSON object".into()));
    assert!(found[3].as_ref().is_err_and(|e| e.starts_with("line 6: column 4: unknown field `x`")));
    assert_eq!(found[4..], [Ok("A".into())]);
}

#[test]
fn a_refused_schedule_names_its_fields() {
    let found = drafts(r#"{"title":"","starts_at":"x","ends_at":"2026-01-01T10:00:00Z"}"#);
    assert!(found[0].as_ref().is_err_and(|e| e.starts_with("line 1: title: is empty; starts_at: is not")));
}

#[test]
fn bad_bytes_and_long_lines_cost_one_line() {
    let long = "x".repeat(RECORD_CAP + 1);
    let longer = "x".repeat(4 * RECORD_CAP);
    let most = "x".repeat(RECORD_CAP);
    let text = [b"\0\n\xFF\n", long.as_bytes(), b"\r\n", longer.as_bytes(), b"\n", most.as_bytes(), b"\r\na"].concat();
    let found: Vec<_> = read(&text)
        .into_iter()
        .map(|entry| match entry {
            Entry::Record(record) => (record.start.line, None),
            Entry::Malformed(malformed) => (malformed.start.line, Some(malformed.reason)),
        })
        .collect();
    let faults = [Malformation::NulByte, Malformation::NotUtf8, Malformation::TooLong, Malformation::TooLong];
    let faults = faults.map(Some).into_iter().chain([None, None]);
    assert_eq!(found, (1..).zip(faults).collect::<Vec<_>>());
}

proptest! {
    #[test]
    fn agrees_with_splitting_at_line_feeds(
        bytes in proptest::collection::vec(prop_oneof![3 => Just(b'\n'), 4 => Just(b'a'), 2 => Just(b'\r'), 1 => any::<u8>()], 0..60),
    ) {
        let marked = bytes.starts_with(b"\xEF\xBB\xBF");
        prop_assume!(!marked);
        let found = read(&bytes);
        let numbers: Vec<_> = found.iter().map(|entry| match entry {
            Entry::Record(record) => record.start.line,
            Entry::Malformed(malformed) => malformed.start.line,
        }).collect();
        let expected: Vec<_> = (1u64..)
            .zip(bytes.split(|&b| b == b'\n'))
            .filter(|(_, line)| !line.trim_ascii().is_empty())
            .map(|(number, _)| number)
            .collect();
        prop_assert_eq!(numbers, expected);
        for (index, entry) in found.iter().enumerate() {
            let (Entry::Record(Record { end, .. }) | Entry::Malformed(Malformed { end, .. })) = entry;
            let from = usize::try_from(end.byte).unwrap();
            let rest: Vec<_> = Lines::new(&bytes[from..], *end).map(Result::unwrap).collect();
            prop_assert_eq!(&rest, &found[index + 1..]);
        }
    }
}
