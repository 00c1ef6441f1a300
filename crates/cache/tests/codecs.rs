//! Codecs: a decoded value equals the encoded one, foreign bytes are an error, and no decoder
//! allocates more than it may.

#![cfg(all(feature = "json", feature = "messagepack", feature = "zstd"))]
#![allow(clippy::unwrap_used, clippy::panic, reason = "in a test a panic is an answer")]

use std::collections::BTreeMap;

use bytes::Bytes;
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use serde::{Deserialize, Serialize};
use tidegate_cache::{Codec, CodecError, Compressed, Json, MessagePack, RawBytes};
use tidegate_testkit::scale;

/// Something of every kind that serde knows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Record {
    id: u64,
    name: String,
    blob: Vec<u8>,
    rates: Vec<f32>,
    maybe: Option<i8>,
    kind: Kind,
    children: Vec<Record>,
    labels: BTreeMap<String, (bool, char)>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
enum Kind {
    Unit,
    Tuple(i64, String),
    Fields { first: u16, second: Box<Option<Kind>> },
}

fn kind() -> impl Strategy<Value = Kind> {
    prop_oneof![
        Just(Kind::Unit),
        (any::<i64>(), ".{0,8}").prop_map(|(number, text)| Kind::Tuple(number, text)),
        any::<u16>().prop_map(|first| Kind::Fields { first, second: Box::new(Some(Kind::Unit)) }),
    ]
}

fn record() -> impl Strategy<Value = Record> {
    let leaf = (
        any::<u64>(),
        ".{0,20}",
        vec(any::<u8>(), 0..60),
        vec(-1e6_f32..1e6, 0..4),
        any::<Option<i8>>(),
        kind(),
        btree_map(".{0,4}", any::<(bool, char)>(), 0..3),
    )
        .prop_map(|(id, name, blob, rates, maybe, kind, labels)| {
            let children = Vec::new();
            Record { id, name, blob, rates, maybe, kind, children, labels }
        });
    leaf.prop_recursive(3, 8, 3, |inner| {
        (inner.clone(), vec(inner, 0..3)).prop_map(|(record, children)| Record { children, ..record })
    })
}

fn cases() -> ProptestConfig {
    ProptestConfig::with_cases(u32::try_from(scale(64, 100_000)).unwrap())
}

/// Bytes that a decoder may allocate besides its input: serde trusts a claimed length up to 1 MiB.
const ROOM: u64 = (1 << 20) + (64 << 10);

/// Reads, and fails if that made more room at once than the bytes and their cap allow.
fn decode<V>(codec: &impl Codec<V>, bytes: &[u8]) -> Result<V, CodecError> {
    let mut decoded = None;
    let used = allocation_counter::measure(|| decoded = Some(codec.decode(bytes)));
    let most = ROOM + 64 * bytes.len() as u64 + 64 * codec.limit() as u64;
    assert!(used.bytes_max <= most, "{} bytes for {} bytes", used.bytes_max, bytes.len());
    decoded.unwrap()
}

/// Changes some bytes, cuts some off, adds some.
fn mutated(mut bytes: Vec<u8>, changes: &[(prop::sample::Index, u8)], cut: usize, added: &[u8]) -> Vec<u8> {
    for (at, with) in changes {
        if !bytes.is_empty() {
            let at = at.index(bytes.len());
            bytes[at] = *with;
        }
    }
    bytes.truncate(bytes.len().saturating_sub(cut));
    bytes.extend(added);
    bytes
}

fn changes() -> impl Strategy<Value = (Vec<(prop::sample::Index, u8)>, usize, Vec<u8>)> {
    (
        vec(any::<(prop::sample::Index, u8)>(), 0..4),
        prop_oneof![3 => Just(0_usize), 1 => 0..40_usize],
        vec(any::<u8>(), 0..3),
    )
}

fn small() -> (Json, MessagePack, Compressed<Json>, Compressed<MessagePack>) {
    let (json, pack) = (Json::new().at_most(8 << 10), MessagePack::new().at_most(8 << 10));
    (json, pack, Compressed::new(json).above(16), Compressed::new(pack).above(16))
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn a_written_value_is_read_back(record in record()) {
        let (json, pack, small_json, small_pack) = small();
        let round = |codec: &dyn Codec<Record>| codec.decode(&codec.encode_shared(&record).unwrap()).unwrap();
        for codec in [&json as &dyn Codec<Record>, &pack, &small_json, &small_pack] {
            prop_assert_eq!(round(codec), record.clone());
        }
    }

    #[test]
    fn mutated_bytes_never_panic_nor_take_more_room_than_their_cap(record in record(), (at, cut, added) in changes()) {
        let (json, pack, small_json, small_pack) = small();
        let spoil = |bytes: Vec<u8>| mutated(bytes, &at, cut, &added);
        let _ = decode::<Record>(&json, &spoil(json.encode(&record).unwrap()));
        let _ = decode::<Record>(&pack, &spoil(pack.encode(&record).unwrap()));
        let _ = decode::<Record>(&small_json, &spoil(small_json.encode(&record).unwrap()));
        let _ = decode::<Record>(&small_pack, &spoil(small_pack.encode(&record).unwrap()));
    }

    #[test]
    fn random_bytes_never_panic_nor_take_more_room_than_their_cap(mut bytes in vec(any::<u8>(), 0..300), mark in 0..3_u8) {
        let (json, pack, small_json, small_pack) = small();
        let _ = decode::<Record>(&json, &bytes);
        let _ = decode::<Record>(&pack, &bytes);
        let _ = decode::<Vec<BTreeMap<String, Vec<u64>>>>(&pack, &bytes);
        let _ = decode::<serde_json::Value>(&pack, &bytes);
        let _ = decode::<String>(&RawBytes::new(), &bytes);
        if let Some(first) = bytes.first_mut() {
            *first = mark;
        }
        let _ = decode::<Record>(&small_json, &bytes);
        let _ = decode::<Record>(&small_pack, &bytes);
    }

    #[test]
    fn raw_bytes_are_unchanged(bytes in vec(any::<u8>(), 0..3000), text in ".{0,40}") {
        let raw = RawBytes::new();
        prop_assert_eq!(Codec::<Vec<u8>>::decode(&raw, &raw.encode(&bytes).unwrap()).unwrap(), bytes.clone());
        prop_assert_eq!(Codec::<String>::decode(&raw, &raw.encode(&text).unwrap()).unwrap(), text);
        let (compressed, bytes) = (Compressed::new(raw).above(100), Bytes::from(bytes));
        let written = compressed.encode(&bytes).unwrap();
        prop_assert!(written.len() <= bytes.len() + 1);
        prop_assert_eq!(Codec::<Bytes>::decode(&compressed, &written).unwrap(), bytes);
    }
}

#[test]
fn a_codec_reads_no_bytes_of_another() {
    fn format<V: 'static>(codec: &dyn Codec<V>) -> (u8, u8) {
        (codec.form(), codec.version())
    }
    let json =
        [format::<u32>(&Json::new()), format::<u32>(&Compressed::new(Json::new())), format::<u32>(&Json::version(1))];
    let pack = [format::<u32>(&MessagePack::new()), format::<u32>(&Compressed::new(MessagePack::new()))];
    let raw = [format::<Bytes>(&RawBytes::new()), format::<Bytes>(&Compressed::new(RawBytes::new()))];
    let mut all: Vec<_> = json.into_iter().chain(pack).chain(raw).collect();
    all.sort_unstable();
    all.dedup();
    assert_eq!(all.len(), 7);
    // A case that the bytes alone do not show: `{` is 123 in MessagePack.
    assert!(Codec::<u8>::decode(&MessagePack::new(), br#"{"a":1}"#).is_err());
}

#[test]
fn raw_bytes_are_shared_when_they_are_written() {
    let bytes = Bytes::from(vec![7; 1000]);
    assert_eq!(RawBytes::new().encode_shared(&bytes).unwrap().as_ptr(), bytes.as_ptr());
}

#[test]
fn small_or_incompressible_payloads_are_not_compressed() {
    let codec = Compressed::new(RawBytes::new()).above(100).level(100);
    let small: Vec<u8> = vec![0; 100];
    assert_eq!(codec.encode(&small).unwrap().len(), 101);
    let random: Vec<u8> = (0..2000).map(|_| rand::random()).collect();
    assert_eq!(codec.encode(&random).unwrap().len(), 2001);
    let large: Vec<u8> = vec![0; 100_000];
    assert!(codec.encode(&large).unwrap().len() < 100);
    for value in [small, random, large] {
        assert_eq!(Codec::<Vec<u8>>::decode(&codec, &codec.encode(&value).unwrap()).unwrap(), value);
    }
}

#[test]
fn a_payload_over_the_cap_is_refused_before_it_is_compressed() {
    let codec = Compressed::new(RawBytes::new().at_most(1000));
    let error = codec.encode(&vec![0_u8; 1001]).unwrap_err();
    assert!(matches!(error, CodecError::TooBig { length: 1001, limit: 1000 }), "{error}");
    assert_eq!(codec.encode(&vec![0_u8; 1000]).unwrap().len(), 1001);
}

#[test]
fn a_decompression_bomb_is_reported_and_takes_no_memory() {
    let (wide, narrow) = (Compressed::new(RawBytes::new().at_most(64 << 20)), Compressed::new(RawBytes::new()));
    let bomb = wide.encode(&vec![0_u8; 50 << 20]).unwrap();
    assert!(bomb.len() < 10_000);
    let refused = |bytes: &[u8], at_most: u64| {
        let mut error = None;
        let used = allocation_counter::measure(|| error = Codec::<Vec<u8>>::decode(&narrow, bytes).err());
        assert!(used.bytes_max <= at_most, "{} bytes", used.bytes_max);
        error.unwrap()
    };
    let error = refused(&bomb, 1000);
    assert!(matches!(error, CodecError::TooBig { length: 52_428_800, limit: 1_048_576 }), "{error}");
    // One that claims to be small.
    let mut liar = bomb.clone();
    liar[1..5].copy_from_slice(&1000_u32.to_be_bytes());
    let error = refused(&liar, 10_000);
    assert!(matches!(error, CodecError::Failed(_)), "{error}");
    // One that claims to be as large as is allowed, and is nothing.
    let mut empty = vec![1];
    empty.extend((1_u32 << 20).to_be_bytes());
    let error = refused(&empty, (1 << 20) + 10_000);
    assert!(matches!(error, CodecError::Failed(_)), "{error}");
    for short in [&[] as &[u8], &[1], &[1, 0, 0, 0], &[2, 0]] {
        assert!(matches!(refused(short, 1000), CodecError::Failed(_)));
    }
}

#[test]
fn a_length_beyond_the_input_takes_no_memory() {
    // An array, a map, text and bytes of 2^32 - 1 elements each, in MessagePack.
    for claim in [0xdd_u8, 0xdf, 0xdb, 0xc6] {
        let bytes = [claim, 0xff, 0xff, 0xff, 0xff];
        assert!(decode::<Vec<u64>>(&MessagePack::new().at_most(0), &bytes).is_err());
        assert!(decode::<BTreeMap<u64, u64>>(&MessagePack::new().at_most(0), &bytes).is_err());
        assert!(decode::<String>(&MessagePack::new().at_most(0), &bytes).is_err());
        assert!(decode::<serde_json::Value>(&MessagePack::new().at_most(0), &bytes).is_err());
    }
}

#[test]
fn nesting_is_bounded_and_trailing_bytes_are_refused() {
    let deep = vec![0x91_u8; 100_000];
    assert!(decode::<serde_json::Value>(&MessagePack::new(), &deep).is_err());
    assert!(decode::<serde_json::Value>(&Json::new(), &vec![b'['; 100_000]).is_err());
    assert_eq!(decode::<u8>(&MessagePack::new(), &[7]).unwrap(), 7);
    assert!(decode::<u8>(&MessagePack::new(), &[7, 7]).is_err());
    // The start of something that does not fit.
    assert!(decode::<u8>(&MessagePack::new(), &[7, 0xdd]).is_err());
    assert!(decode::<u8>(&Json::new(), b"7 7").is_err());
}

#[test]
fn compressing_twice_is_compressing_once() {
    let once = Compressed::new(RawBytes::new()).above(10);
    let twice = Compressed::new(once).above(10);
    let value = Bytes::from(vec![7; 1000]);
    assert_eq!(Codec::<Bytes>::form(&once), Codec::<Bytes>::form(&twice));
    assert_ne!(Codec::<Bytes>::form(&once), Codec::<Bytes>::form(&RawBytes::new()));
    let bytes = twice.encode(&value).unwrap();
    assert_eq!(bytes, once.encode(&value).unwrap());
    assert_eq!(Codec::<Bytes>::decode(&twice, &bytes).unwrap(), value);
}

/// Errors go to logs, so they must not contain a value that cannot be decoded.
#[test]
fn no_error_quotes_a_value() {
    #[derive(Debug, Serialize, Deserialize)]
    struct Login {
        password: u32,
    }
    #[derive(Serialize)]
    struct Text<'a> {
        password: &'a str,
    }
    let text = Text { password: "s3cr3t" };
    let json = serde_json::to_vec(&text).unwrap();
    let packed = rmp_serde::to_vec_named(&text).unwrap();
    let errors = [
        Codec::<Login>::decode(&Json::new(), &json).unwrap_err(),
        Codec::<Login>::decode(&Json::new(), &json[..json.len() - 3]).unwrap_err(),
        Codec::<BTreeMap<u8, u8>>::decode(&Json::new(), br#"{"s3cr3t":1}"#).unwrap_err(),
        Codec::<Login>::decode(&MessagePack::new(), &packed).unwrap_err(),
        Codec::<String>::decode(&MessagePack::new(), b"\xa6s3cr3\xff").unwrap_err(),
        Codec::<Login>::decode(&Compressed::new(Json::new()), &[&[0], &json[..]].concat()).unwrap_err(),
    ];
    for error in errors {
        let mut told = format!("{error} {error:?}");
        let mut source = std::error::Error::source(&error);
        while let Some(error) = source {
            told += &format!(" {error} {error:?}");
            source = error.source();
        }
        assert!(!told.contains("s3cr3"), "{told}");
    }
    let error = Codec::<Login>::decode(&Json::new(), &json).unwrap_err().to_string();
    assert_eq!(error, "the codec failed: the value is JSON of another shape, at line 1 column 20");
}
