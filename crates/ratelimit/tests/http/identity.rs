//! The client's address, with valid and hostile headers.

use std::net::IpAddr;

use http::{HeaderMap, HeaderName, HeaderValue};
use proptest::prelude::*;
use tidegate_ratelimit::{ForwardedHeader, TrustedProxies, client_address, has_forwarded_header, key_for};

const XFF: &str = "x-forwarded-for";
const FORWARDED: &str = "forwarded";
const PROXY: &str = "10.0.0.1";
const CLIENT: &str = "203.0.113.7";

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn trusted() -> TrustedProxies {
    TrustedProxies::parse("10.0.0.0/8, 192.168.1.1, fd00::/8").unwrap()
}

fn headers<V: AsRef<[u8]>>(lines: &[(&'static str, V)]) -> HeaderMap {
    let mut map = HeaderMap::new();
    for (name, value) in lines {
        map.append(HeaderName::from_static(name), HeaderValue::from_bytes(value.as_ref()).unwrap());
    }
    map
}

fn seen(lines: &[(&'static str, &str)]) -> String {
    client_address(ip(PROXY), &headers(lines), &trusted()).to_string()
}

#[test]
fn an_untrusted_peer_speaks_only_for_itself() {
    let forged = headers(&[(XFF, "1.2.3.4"), (FORWARDED, "for=1.2.3.4")]);
    assert_eq!(client_address(ip(CLIENT), &forged, &trusted()), ip(CLIENT));
    assert_eq!(client_address(ip(PROXY), &forged, &TrustedProxies::default()), ip(PROXY));
    assert_eq!(client_address(ip("::ffff:203.0.113.7"), &HeaderMap::new(), &trusted()), ip(CLIENT));
}

#[test]
fn takes_the_rightmost_address_that_is_not_a_proxy() {
    for (list, expected) in [
        ("203.0.113.7", "203.0.113.7"),
        ("6.6.6.6, 203.0.113.7", "203.0.113.7"),
        ("6.6.6.6, 203.0.113.7, 10.1.1.1, 192.168.1.1", "203.0.113.7"),
        ("203.0.113.7:4711", "203.0.113.7"),
        ("2001:db8::7", "2001:db8::7"),
        ("[2001:db8::7]:4711", "2001:db8::7"),
        ("\"[2001:db8::7]:4711\"", "2001:db8::7"),
        ("::ffff:203.0.113.7,::ffff:10.2.3.4", "203.0.113.7"),
        ("203.0.113.7,,  ,fd00::1", "203.0.113.7"),
        ("10.2.2.2, 10.3.3.3", "10.2.2.2"),
        ("", PROXY),
        ("unknown", PROXY),
        ("203.0.113.7, unknown", PROXY),
        ("203.0.113.7, garbage, 10.3.3.3", "10.3.3.3"),
    ] {
        assert_eq!(seen(&[(XFF, list)]), expected, "{list}");
    }
}

#[test]
fn reads_forwarded_as_rfc_7239_writes_it() {
    for (list, expected) in [
        ("for=203.0.113.7", "203.0.113.7"),
        ("For=\"[2001:db8:cafe::17]:4711\"", "2001:db8:cafe::17"),
        ("for=203.0.113.7;proto=http;by=10.0.0.9", "203.0.113.7"),
        ("for=6.6.6.6, for=203.0.113.7;host=\"a,b;for=7.7.7.7\", for=10.1.1.1", "203.0.113.7"),
        ("for=\"203.0.113.7:_port\"", "203.0.113.7"),
        ("for=203.0.113.7, for=_hidden", PROXY),
        ("for=203.0.113.7, for=unknown", PROXY),
        ("for=203.0.113.7, proto=https", PROXY),
        ("for=1.1.1.1;for=203.0.113.7", PROXY),
        ("203.0.113.7", PROXY),
    ] {
        assert_eq!(seen(&[(FORWARDED, list)]), expected, "{list}");
    }
}

#[test]
fn several_lines_are_one_list() {
    assert_eq!(seen(&[(XFF, "6.6.6.6"), (XFF, CLIENT), (XFF, "10.1.1.1")]), CLIENT);
    assert_eq!(seen(&[(FORWARDED, "for=6.6.6.6"), (FORWARDED, "for=203.0.113.7")]), CLIENT);
}

#[test]
fn a_second_header_can_not_overrule_the_one_the_proxy_maintains() {
    let both = [(XFF, CLIENT), (FORWARDED, "for=6.6.6.6")];
    assert_eq!(seen(&both), PROXY);
    assert_eq!(seen(&[(XFF, CLIENT), (FORWARDED, "for=203.0.113.7")]), CLIENT);
    let only = |header| client_address(ip(PROXY), &headers(&both), &trusted().header(header)).to_string();
    assert_eq!(only(ForwardedHeader::XForwardedFor), CLIENT);
    assert_eq!(only(ForwardedHeader::Forwarded), "6.6.6.6");
}

#[test]
fn long_lists_end_after_a_bounded_number_of_hops() {
    let proxies = "10.1.1.1,".repeat(1_000);
    assert_eq!(seen(&[(XFF, &format!("{CLIENT},{proxies}"))]), "10.1.1.1");
    assert_eq!(seen(&[(XFF, &format!("{}{CLIENT}", "9".repeat(10_000) + ","))]), CLIENT);
    assert_eq!(seen(&[(XFF, &"9".repeat(10_000))]), PROXY);
    assert_eq!(seen(&[(FORWARDED, &"\"".repeat(10_001))]), PROXY);
    assert_eq!(seen(&[(FORWARDED, &"\\\"".repeat(5_000))]), PROXY);
}

/// A header value that a client can send: any visible or high byte.
fn client_text() -> impl Strategy<Value = Vec<u8>> {
    let pieces = prop::sample::select(vec![
        "for=",
        "\"",
        "\\",
        ",",
        ";",
        "6.6.6.6",
        "10.0.0.2",
        "[2001:db8::1]:80",
        "é",
        "unknown",
        " ",
        "=",
        "\t",
        "a",
    ]);
    let composed = prop::collection::vec(pieces, 0..30).prop_map(|pieces| pieces.concat().into_bytes());
    let long = |text: Vec<u8>| text.iter().copied().cycle().take(if text.is_empty() { 0 } else { 10_240 }).collect();
    prop_oneof![
        composed.clone(),
        composed.prop_map(long),
        prop::collection::vec(prop_oneof![32_u8..127, 128_u8..=255], 0..200),
    ]
}

proptest! {
    /// The essential guarantee: whatever the client sends, the address that our proxy appended is
    /// used.
    #[test]
    fn nothing_a_client_sends_hides_its_address(text in client_text(), own_line in any::<bool>(), hop in any::<bool>()) {
        for (name, appended, proxy) in [(XFF, CLIENT, ", 10.9.9.9"), (FORWARDED, "for=203.0.113.7", ", for=10.9.9.9")] {
            let appended = format!("{appended}{}", if hop { proxy } else { "" });
            let map = if own_line {
                headers(&[(name, text.clone()), (name, appended.into_bytes())])
            } else {
                headers(&[(name, [text.as_slice(), b", ", appended.as_bytes()].concat())])
            };
            prop_assert_eq!(client_address(ip(PROXY), &map, &trusted()), ip(CLIENT));
        }
    }

    /// The same holds for text of the client that the proxy quotes, such as its `Host`.
    #[test]
    fn quoted_text_of_the_client_is_no_list(host in "[ -~]{0,60}", prefix in client_text()) {
        let host = host.replace('\\', "\\\\").replace('"', "\\\"");
        let element = format!(", for=203.0.113.7;host=\"{host}\";proto=http");
        let map = headers(&[(FORWARDED, [prefix.as_slice(), element.as_bytes()].concat())]);
        prop_assert_eq!(client_address(ip(PROXY), &map, &trusted()), ip(CLIENT));
    }

    #[test]
    fn any_text_yields_some_address(one in client_text(), other in client_text()) {
        let map = headers(&[(XFF, one), (FORWARDED, other)]);
        for header in [ForwardedHeader::Either, ForwardedHeader::Forwarded, ForwardedHeader::XForwardedFor] {
            let address = client_address(ip(PROXY), &map, &trusted().header(header));
            prop_assert_eq!(address, address.to_canonical());
        }
    }

    #[test]
    fn a_subnet_of_64_bits_is_one_client(network in any::<u64>(), one in any::<u64>(), other in any::<u64>()) {
        let address = |host| IpAddr::from((u128::from(network) << 64 | u128::from(host)).to_be_bytes());
        prop_assume!(network != 0);
        prop_assert_eq!(key_for(address(one)), key_for(address(other)));
        prop_assert_ne!(key_for(address(one)), key_for(IpAddr::from((u128::from(network ^ 2) << 64).to_be_bytes())));
    }
}

#[test]
fn keys_are_readable() {
    assert_eq!(key_for(ip("203.0.113.7")), "203.0.113.7");
    assert_eq!(key_for(ip("::ffff:203.0.113.7")), "203.0.113.7");
    assert_eq!(key_for(ip("2001:db8:1:2:3:4:5:6")), "2001:db8:1:2::/64");
}

#[test]
fn trusted_proxies_are_parsed_whole_or_not_at_all() {
    assert!(TrustedProxies::parse(" ").unwrap().is_empty());
    let mapped: TrustedProxies = "::ffff:10.0.0.0/104, ::ffff:192.0.2.1".parse().unwrap();
    assert!(mapped.contains(ip("10.200.0.1")) && mapped.contains(ip("192.0.2.1")));
    assert!(!mapped.contains(ip("11.0.0.1")) && !mapped.contains(ip("192.0.2.2")));
    for (text, position, entry) in
        [("10.0.0.0/8,,1.1.1.1", 2, ""), ("10.0.0.0/33", 1, "10.0.0.0/33"), ("::1, proxy.example", 2, "proxy.example")]
    {
        let error = TrustedProxies::parse(text).unwrap_err();
        assert_eq!((error.position, error.entry.as_str()), (position, entry));
    }
}

#[test]
fn any_forwarded_header_is_noticed() {
    for name in ["forwarded", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-real-ip"] {
        assert!(has_forwarded_header(&headers(&[(name, "")])), "{name}");
    }
    assert!(!has_forwarded_header(&headers(&[("host", "localhost"), ("x-request-id", "1")])));
}
