use tidegate_store::TABLES;

use super::*;

fn rows() -> Vec<Cells> {
    (0..1_200).map(|number| vec![format!("id-{number}").into(), number.into(), serde_json::Value::Null]).collect()
}

fn backup() -> (Vec<u8>, Digests) {
    let mut writer = Writer::new(&Manifest::of(4, "abc", 1, TABLES)).unwrap();
    let mut bytes = Vec::new();
    for (place, table) in TABLES.iter().enumerate() {
        if place == 1 {
            rows().iter().for_each(|row| writer.row(row).unwrap());
            bytes.extend(writer.take());
        }
        writer.end_table(table.name).unwrap();
    }
    let (rest, digests) = writer.finish().unwrap();
    bytes.extend(rest);
    (bytes, digests)
}

fn read(bytes: &[u8]) -> Result<(Manifest, Digests), FormatError> {
    verify(io::Cursor::new(bytes))
}

#[test]
fn what_is_written_is_read_back() {
    let (bytes, digests) = backup();
    let (manifest, read) = read(&bytes).unwrap();
    assert_eq!((manifest.schema, &*manifest.installation, manifest.tables.len()), (4, "abc", TABLES.len()));
    assert_eq!(read, digests);
    assert_eq!((read[0].rows, read[1].rows), (0, 1_200));

    let mut reader = Reader::open(&bytes[..]).unwrap();
    assert!(matches!(reader.part(500).unwrap(), Part::End(_)));
    let mut found = Vec::new();
    while let Part::Rows(some) = reader.part(500).unwrap() {
        assert!(!some.is_empty() && some.len() <= 500);
        found.extend(some);
    }
    assert_eq!(found, rows());
}

#[test]
fn a_backup_that_was_cut_is_refused_wherever_it_was() {
    let (bytes, _) = backup();
    for length in 0..bytes.len() {
        assert!(read(&bytes[..length]).is_err(), "cut at {length} of {}", bytes.len());
    }
}

#[test]
fn a_flipped_bit_is_refused_wherever_it_is() {
    let (bytes, _) = backup();
    for place in 0..bytes.len() {
        let mut damaged = bytes.clone();
        damaged[place] ^= 1 << (place % 8);
        assert!(read(&damaged).is_err(), "byte {place} of {}", bytes.len());
    }
}

/// Also if the file was sealed again: the lines have hashes of their own.
#[test]
fn a_row_that_was_changed_and_sealed_again_is_refused() {
    let sound = repacked(|_| ());
    assert!(read(&sound).is_ok());
    assert!(read(&sound[..sound.len() - SEALED]).is_err(), "without its seal");
}

/// Builds another file that is consistent in itself.
fn repacked(change: impl FnOnce(&mut Vec<String>)) -> Vec<u8> {
    let (bytes, _) = backup();
    let text = String::from_utf8(zstd::decode_all(&bytes[..]).unwrap()).unwrap();
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    change(&mut lines);
    sealed(zstd::encode_all((lines.join("\n") + "\n").as_bytes(), 1).unwrap())
}

#[test]
fn rows_that_were_changed_moved_or_left_out_are_refused() {
    assert!(read(&repacked(|_| ())).is_ok());
    let changes: [fn(&mut Vec<String>); 6] = [
        |lines| lines[5] = lines[5].replace("id-", "ID-"),
        |lines| drop(lines.remove(5)),
        |lines| lines.swap(5, 6),
        |lines| lines.push("[]".to_owned()),
        |lines| drop(lines.pop()),
        |lines| lines[0] = lines[0].replace("\"abc\"", "\"abd\""),
    ];
    for (number, change) in changes.into_iter().enumerate() {
        assert!(read(&repacked(change)).is_err(), "change {number}");
    }
}

#[test]
fn another_file_is_no_backup() {
    for bytes in [&b""[..], b"SQLite format 3\0", &zstd::encode_all(&b"{}\n"[..], 1).unwrap()] {
        assert!(read(bytes).is_err());
    }
}
