use proptest::prelude::*;

use super::*;

type Found = Vec<Entry<Vec<String>>>;

fn read_at(bytes: &[u8], position: Position, cap: usize) -> Found {
    let from = usize::try_from(position.byte).unwrap();
    Records::with_cap(&bytes[from..], position, cap).map(Result::unwrap).collect()
}

fn read(text: &str) -> Vec<(u64, Result<Vec<String>, Malformation>)> {
    read_at(text.as_bytes(), Position::START, RECORD_CAP)
        .into_iter()
        .map(|entry| match entry {
            Entry::Record(r) => (r.start.line, Ok(r.content)),
            Entry::Malformed(m) => (m.start.line, Err(m.reason)),
        })
        .collect()
}

fn ok(line: u64, fields: &[&str]) -> (u64, Result<Vec<String>, Malformation>) {
    (line, Ok(fields.iter().map(ToString::to_string).collect()))
}

fn span<T>(entry: &Entry<T>) -> (Position, Position) {
    match entry {
        Entry::Record(record) => (record.start, record.end),
        Entry::Malformed(malformed) => (malformed.start, malformed.end),
    }
}

#[test]
fn reads_records_of_one_line_and_of_several() {
    let text = "\u{FEFF}a,b\r\n\n\"x\ny\",\"say \"\"hi\"\", ok\"\r\n\r\n,\n\"\"\nlast";
    let expected =
        [ok(1, &["a", "b"]), ok(3, &["x\ny", "say \"hi\", ok"]), ok(6, &["", ""]), ok(7, &[""]), ok(8, &["last"])];
    assert_eq!(read(text), expected);
}

#[test]
fn a_broken_quote_costs_its_own_line_only() {
    use Malformation as M;
    assert_eq!(read("a\nb \"x\" c\nd\n"), [ok(1, &["a"]), (2, Err(M::QuoteInField)), ok(3, &["d"])]);
    assert_eq!(read("\"a\" b\nc\n"), [(1, Err(M::TextAfterQuote)), ok(2, &["c"])]);
    assert_eq!(read("a,\"b\nc\nd"), [(1, Err(M::UnclosedQuote)), ok(2, &["c"]), ok(3, &["d"])]);
    // The fault is on the second line. The first line is rejected, and the second is read on its
    // own.
    assert_eq!(read("\"a\nb\" c\nd"), [(1, Err(M::TextAfterQuote)), (2, Err(M::QuoteInField)), ok(3, &["d"])]);
}

#[test]
fn a_record_of_bad_content_is_given_up_whole() {
    let text = b"\"a\n\0\"\nb\n\"\n\xFF\"\nc";
    let lines: Vec<_> = read_at(text, Position::START, RECORD_CAP)
        .into_iter()
        .map(|entry| match entry {
            Entry::Record(record) => (record.start.line, None),
            Entry::Malformed(malformed) => (malformed.start.line, Some(malformed.reason)),
        })
        .collect();
    let (nul, utf8) = (Some(Malformation::NulByte), Some(Malformation::NotUtf8));
    assert_eq!(lines, [(1, nul), (3, None), (4, utf8), (6, None)]);
}

#[test]
fn the_cap_is_exact_and_what_follows_is_read() {
    for (length, fits) in [(RECORD_CAP, true), (RECORD_CAP + 1, false), (5 * RECORD_CAP, false)] {
        for ending in ["\n", "\r\n", ""] {
            let text = format!("{}{ending}", "x".repeat(length));
            let found = read_at(text.as_bytes(), Position::START, RECORD_CAP);
            assert_eq!(found.len(), 1);
            assert_eq!(matches!(found[0], Entry::Record(_)), fits, "{length} {ending:?}");
            assert_eq!(span(&found[0]).1.byte, text.len() as u64);
        }
    }
    let text = format!("a\n\"{}\",b\nc", "x\n".repeat(RECORD_CAP));
    let found = read(&text);
    assert_eq!(found[1], (2, Err(Malformation::UnclosedQuote)));
    assert_eq!(found.last(), Some(&ok(RECORD_CAP as u64 + 3, &["c"])));
}

#[test]
fn a_failed_read_is_not_the_end_of_the_file() {
    struct Fails;
    impl Read for Fails {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::ErrorKind::ConnectionReset.into())
        }
    }
    let mut records = Records::new((&b"a\nb\n"[..]).chain(Fails), Position::START);
    for _ in 0..3 {
        assert!(matches!(records.next(), Some(Err(_))));
    }
}

/// Returns a few bytes at a time, and counts them.
struct Trickle<'a> {
    bytes: &'a [u8],
    step: usize,
    given: u64,
}

impl Read for &mut Trickle<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.step.min(buffer.len()).min(self.bytes.len());
        buffer[..count].copy_from_slice(&self.bytes[..count]);
        self.bytes = &self.bytes[count..];
        self.given += count as u64;
        Ok(count)
    }
}

#[test]
fn hostile_quotes_are_not_scanned_again_and_again() {
    let open_to_the_cap = format!("\"{}", "x\n".repeat(RECORD_CAP / 2));
    for piece in [
        "\"",
        "\"\n",
        "\"\"",
        "\"\"\n",
        "a\"\n",
        "\"x\n",
        "\"\"\"x\n",
        ",\"\n",
        "\",\",\"\n",
        "\"\r\n",
        "\"\r",
        "\"\0\n",
        &open_to_the_cap,
    ] {
        let text = piece.repeat((1 << 20) / piece.len() + 1);
        let mut source = Trickle { bytes: text.as_bytes(), step: 1 << 16, given: 0 };
        let mut records = Records::new(&mut source, Position::START);
        let entries = records.by_ref().map(Result::unwrap).count();
        let scanned = records.examined();
        let length = text.len() as u64;
        assert_eq!(source.given, length, "{piece:?}: each byte is read once");
        // One failed scan per line would add up to gigabytes.
        assert!(scanned <= 4 * length, "{piece:?}: {scanned} of {length} scanned, {entries} entries");
    }
}

/// An independent implementation of RFC 4180, by recursive descent. It finds the end of the record
/// at the start of `bytes`.
mod model {
    use super::Malformation as M;

    pub(super) fn record(bytes: &[u8], cap: usize) -> Result<(usize, usize), M> {
        let seen = &bytes[..bytes.len().min(cap + 2)];
        let all = seen.len() == bytes.len();
        let mut at = 0;
        loop {
            at = field(seen, at, all)?;
            match &seen[at..] {
                [b',', ..] => at += 1,
                [] if !all => return Err(M::TooLong),
                rest => {
                    let ending = match ending(rest) {
                        Err(M::BareCarriageReturn) if at > cap => return Err(M::TooLong),
                        ending => ending?,
                    };
                    return if at > cap { Err(M::TooLong) } else { Ok((at, at + ending)) };
                }
            }
        }
    }

    fn ending(rest: &[u8]) -> Result<usize, M> {
        match rest {
            [] => Ok(0),
            [b'\n', ..] => Ok(1),
            [b'\r', b'\n', ..] => Ok(2),
            [b'\r', ..] => Err(M::BareCarriageReturn),
            _ => Err(M::TextAfterQuote),
        }
    }

    fn field(seen: &[u8], from: usize, all: bool) -> Result<usize, M> {
        if seen.get(from) != Some(&b'"') {
            let length = seen[from..].iter().position(|b| b",\r\n\"".contains(b));
            let end = length.map_or(seen.len(), |length| from + length);
            return if seen.get(end) == Some(&b'"') { Err(M::QuoteInField) } else { Ok(end) };
        }
        let mut at = from + 1;
        loop {
            at += seen[at..].iter().position(|&b| b == b'"').ok_or(M::UnclosedQuote)? + 1;
            match seen.get(at) {
                Some(b'"') => at += 1,
                None if !all => return Err(M::TooLong),
                _ => return Ok(at),
            }
        }
    }

    /// Returns start, end and structural fault of every entry.
    pub(super) fn entries(bytes: &[u8], cap: usize) -> Vec<(usize, usize, Option<M>)> {
        let mut at = if bytes.starts_with(b"\xEF\xBB\xBF") { 3 } else { 0 };
        let mut found = Vec::new();
        while at < bytes.len() {
            let rest = &bytes[at..];
            let (next, fault) = match record(rest, cap) {
                Ok((content, whole)) => {
                    if content > 0 {
                        found.push((at, at + whole, None));
                    }
                    at += whole;
                    continue;
                }
                Err(fault) => (rest.iter().position(|&b| b == b'\n'), fault),
            };
            let end = next.map_or(bytes.len(), |feed| at + feed + 1);
            found.push((at, end, Some(fault)));
            at = end;
        }
        found
    }
}

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    let csv = proptest::sample::select(b"\"\"\"\n\n\r,,ab\0\xFF".to_vec());
    let marked = prop_oneof![Just(&b""[..]), Just(&b"\xEF\xBB\xBF"[..])];
    let noise = proptest::collection::vec(any::<u8>(), 0..60);
    let text = prop_oneof![3 => proptest::collection::vec(csv, 0..80), 1 => noise];
    (marked, text).prop_map(|(mark, text)| [mark, &text].concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn agrees_with_the_model(bytes in bytes(), cap in prop_oneof![1usize..20, Just(RECORD_CAP)]) {
        let found = read_at(&bytes, Position::START, cap);
        let expected = model::entries(&bytes, cap);
        prop_assert_eq!(found.len(), expected.len());
        for (entry, (start, end, fault)) in found.iter().zip(expected) {
            let lines_before = bytes[..start].iter().filter(|&&b| b == b'\n').count() as u64;
            let (from, to) = span(entry);
            prop_assert_eq!((from.byte, to.byte), (start as u64, end as u64));
            prop_assert_eq!(from.line, lines_before + 1);
            let content = &bytes[start..end];
            match entry {
                Entry::Malformed(malformed) => {
                    use Malformation::{NotUtf8, NulByte};
                    let reason = fault.unwrap_or(if content.contains(&0) { NulByte } else { NotUtf8 });
                    prop_assert_eq!(malformed.reason, reason);
                }
                Entry::Record(record) => {
                    prop_assert_eq!(fault, None);
                    prop_assert!(!content.contains(&0) && std::str::from_utf8(content).is_ok());
                    let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(content);
                    let fields = reader.records().next().unwrap().unwrap();
                    prop_assert_eq!(&record.content, &fields.iter().collect::<Vec<_>>());
                }
            }
        }
    }

    #[test]
    fn entries_do_not_overlap_and_leave_out_blank_lines_only(bytes in bytes(), cap in 1usize..40) {
        let mut left_out = Vec::new();
        let mut at = 0;
        for entry in read_at(&bytes, Position::START, cap) {
            let (start, end) = span(&entry);
            prop_assert!(start.byte >= at && end.byte > start.byte && end.line >= start.line);
            left_out.extend_from_slice(&bytes[usize::try_from(at).unwrap()..usize::try_from(start.byte).unwrap()]);
            at = end.byte;
        }
        left_out.extend_from_slice(&bytes[usize::try_from(at).unwrap()..]);
        let left_out = left_out.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(&left_out);
        prop_assert!(left_out.iter().all(|b| b"\r\n".contains(b)));
    }

    #[test]
    fn reading_goes_on_the_same_from_every_cut(bytes in bytes(), cap in prop_oneof![1usize..20, Just(RECORD_CAP)]) {
        let all = read_at(&bytes, Position::START, cap);
        for (index, entry) in all.iter().enumerate() {
            let (start, end) = span(entry);
            prop_assert_eq!(&read_at(&bytes, end, cap), &all[index + 1..]);
            prop_assert_eq!(&read_at(&bytes, start, cap), &all[index..]);
        }
    }

    #[test]
    fn the_pace_of_the_reader_does_not_matter(bytes in bytes(), step in 1usize..9, cap in 1usize..40) {
        let mut source = Trickle { bytes: &bytes, step, given: 0 };
        let slow: Found = Records::with_cap(&mut source, Position::START, cap).map(Result::unwrap).collect();
        prop_assert_eq!(slow, read_at(&bytes, Position::START, cap));
    }

    #[test]
    fn what_the_csv_crate_writes_is_read_back(
        table in proptest::collection::vec(proptest::collection::vec("[^\0\u{FEFF}]{0,12}|[\",\r\n a]{0,8}", 1..6), 0..12),
        crlf in any::<bool>(),
    ) {
        let terminator = if crlf { csv::Terminator::CRLF } else { csv::Terminator::Any(b'\n') };
        let mut writer = csv::WriterBuilder::new().flexible(true).terminator(terminator).from_writer(vec![]);
        for record in &table {
            writer.write_record(record).unwrap();
        }
        let bytes = writer.into_inner().unwrap();
        let read: Vec<_> = read_at(&bytes, Position::START, RECORD_CAP).into_iter().map(|entry| match entry {
            Entry::Record(record) => record.content,
            Entry::Malformed(malformed) => vec![malformed.reason.to_string()],
        }).collect();
        prop_assert_eq!(read, table);
    }

    #[test]
    fn hostile_lines_are_scanned_a_few_times_at_most(
        lines in proptest::collection::vec("[\",a\r]{0,6}", 0..200),
    ) {
        let text = lines.join("\n");
        let mut records = Records::new(text.as_bytes(), Position::START);
        prop_assert_eq!(records.by_ref().filter(Result::is_err).count(), 0);
        prop_assert!(records.examined() <= 4 * text.len() as u64 + 4);
    }
}
