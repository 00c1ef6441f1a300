//! Keys that clients cannot choose.

use std::net::{IpAddr, SocketAddr};

use http::{Extensions, HeaderName, HeaderValue, Request};
use proptest::prelude::*;
use tidegate_ratelimit::{
    ByAddress, ByApiKey, ByHeader, ByText, FirstOf, Hashed, Ipv6Prefix, Ipv6PrefixError, KeyExtractor, KeyLists,
    Listed, RequestKey, Together, TrustedProxies, Verdict,
};

const ACCOUNT: HeaderName = HeaderName::from_static("x-account");
const SECRET: &str = "tk_live_51H8s3cr3t";

fn peer(extensions: &Extensions) -> Option<IpAddr> {
    extensions.get::<SocketAddr>().map(SocketAddr::ip)
}

fn from(address: &str, headers: &[(&str, &[u8])]) -> Request<()> {
    let mut request = Request::get("/").extension(address.parse::<SocketAddr>().unwrap()).body(()).unwrap();
    for (name, value) in headers {
        let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
        request.headers_mut().append(name, HeaderValue::from_bytes(value).unwrap());
    }
    request
}

fn text(key: &RequestKey) -> &str {
    key.as_str().unwrap_or_default()
}

#[test]
fn by_address_behind_proxies_and_by_prefix() {
    let by = ByAddress::new(peer);
    assert_eq!(text(&by.key(&from("203.0.113.7:1", &[("x-forwarded-for", b"6.6.6.6")]))), "203.0.113.7");
    assert_eq!(text(&by.key(&from("[::ffff:203.0.113.7]:1", &[]))), "203.0.113.7");
    assert_eq!(text(&by.key(&from("[2001:db8:1:2:3::4]:1", &[]))), "2001:db8:1:2::/64");
    let by = by.behind("10.0.0.0/8".parse::<TrustedProxies>().unwrap()).ipv6_prefix(Ipv6Prefix::try_new(56).unwrap());
    assert_eq!(text(&by.key(&from("10.0.0.1:1", &[("x-forwarded-for", b"6.6.6.6, 203.0.113.7:80")]))), "203.0.113.7");
    assert_eq!(text(&by.key(&from("[2001:db8:1:2ff::4]:1", &[]))), "2001:db8:1:200::/56");
    let unknown = by.key(&Request::get("/").body(()).unwrap());
    let reason = unknown.unavailable_reason().expect("a client that can't be distinguished is not let through");
    assert!(reason.contains("into_make_service_with_connect_info"), "{reason}");
    let pair = Together(ByAddress::new(peer), |_: &Request<()>| RequestKey::new("ada"));
    assert_eq!(pair.key(&Request::get("/").body(()).unwrap()).unavailable_reason(), Some(reason));
}

#[test]
fn a_prefix_is_between_1_and_128() {
    let key = |bits, address: &str| Ipv6Prefix::try_new(bits).unwrap().key(address.parse().unwrap());
    assert_eq!(key(1, "ffff::1"), "8000::/1");
    assert_eq!(key(48, "2001:db8:1:2::1"), "2001:db8:1::/48");
    assert_eq!(key(128, "2001:db8::1"), "2001:db8::1/128");
    assert_eq!(key(48, "203.0.113.7"), "203.0.113.7", "IPv4 is whole");
    for bits in [0, 129, 255] {
        assert_eq!(Ipv6Prefix::try_new(bits), Err(Ipv6PrefixError { bits }));
    }
    assert_eq!(Ipv6Prefix::default().bits(), 64);
}

#[test]
fn by_what_the_server_knows() {
    #[derive(Clone)]
    struct User(String);
    fn find(request: &Request<()>) -> Option<&str> {
        request.extensions().get::<User>().map(|user| user.0.as_str())
    }
    let of = |user: &str| Request::get("/").extension(User(user.to_owned())).body(()).unwrap();
    assert_eq!(text(&ByText::user(find).key(&of("ada"))), "user:ada");
    assert_eq!(text(&ByText::tenant(find).key(&of("acme"))), "tenant:acme");
    assert_eq!(text(&ByText::account(find).key(&of("ada"))), "account:ada");
    assert_eq!(text(&ByText::route(find).key(&of("/api/{id}"))), "route:/api/{id}");
    assert!(ByText::user(find).key(&Request::get("/").body(()).unwrap()).is_uncounted());
    assert!(ByText::user(find).key(&of(&"a".repeat(10_240))).bad_reason().is_some());
}

#[test]
fn by_header_refuses_what_is_no_name() {
    let key = |values: &[&[u8]]| {
        let headers: Vec<_> = values.iter().map(|value| ("x-account", *value)).collect();
        ByHeader::new(ACCOUNT).key(&from("1.1.1.1:1", &headers))
    };
    assert_eq!(text(&key(&[b" ada "])), "x-account:ada");
    assert!(key(&[]).is_uncounted());
    let hostile: [&[&[u8]]; 4] = [&[b"ada", b"bob"], &[&[b'a'; 10_240]], &[&[0xff, 0xfe]], &[b"ada\tx\xe9"]];
    for values in hostile {
        assert!(key(values).bad_reason().is_some(), "{values:?}");
    }
}

#[test]
fn a_secret_is_hashed_and_kept_apart() {
    let with = |value: &str| from("1.1.1.1:1", &[("authorization", value.as_bytes()), ("x-api-key", value.as_bytes())]);
    let bearer = ByApiKey::bearer().key(&with(&format!("Bearer {SECRET}")));
    let header = ByApiKey::header(HeaderName::from_static("x-api-key")).key(&with(SECRET));
    assert_eq!(bearer, header, "the same key, however it is sent");
    assert_eq!(bearer, ByApiKey::bearer().key(&with(&format!("bEARER  {SECRET} "))));
    assert!(text(&bearer).starts_with("key:") && text(&bearer).len() == 36, "{bearer:?}");
    for key in [&bearer, &header] {
        assert!(!format!("{key:?}").contains("s3cr3t"), "{key:?}");
    }
    assert_ne!(bearer, ByApiKey::bearer().key(&with("Bearer other")));
    for none in ["", "Basic dXNlcg==", "Bearer"] {
        assert!(ByApiKey::bearer().key(&with(none)).is_uncounted(), "{none}");
    }
    assert!(ByApiKey::bearer().key(&with(&format!("Bearer {}", "k".repeat(10_240)))).bad_reason().is_some());
    let hashed = Hashed(ByHeader::new(HeaderName::from_static("x-api-key"))).key(&with(SECRET));
    assert!(text(&hashed).starts_with("hash:") && !format!("{hashed:?}").contains("s3cr3t"));
    assert!(Hashed(ByHeader::new(ACCOUNT)).key(&with(SECRET)).is_uncounted());
}

#[test]
fn an_api_key_sent_twice_is_refused() {
    let twice = |name: &str, one: &[u8], other: &[u8]| from("1.1.1.1:1", &[(name, one), (name, other)]);
    let header = ByApiKey::header(HeaderName::from_static("x-api-key"));
    assert!(header.key(&twice("x-api-key", b"a", b"b")).bad_reason().is_some());
    for (one, other) in
        [(&b"Bearer a"[..], &b"Bearer b"[..]), (b"Basic eA==", b"Bearer b"), (b"Bearer a", b"Basic eA==")]
    {
        assert!(ByApiKey::bearer().key(&twice("authorization", one, other)).bad_reason().is_some());
    }
}

#[test]
fn a_raw_text_is_never_an_address() {
    let raw = |request: &Request<()>| Some(request.headers().get("x-api-key")?.to_str().ok()?.to_owned());
    let key = |value: &str| raw(&from("1.1.1.1:1", &[("x-api-key", value.as_bytes())]));
    let lists = KeyLists::new();
    lists.allow(&Listed::Network("10.0.0.0/8".parse().unwrap()));
    lists.allow(&Listed::Network("::/0".parse().unwrap()));
    for claimed in ["10.0.0.1", "10.1.0.0/16", "::ffff:10.0.0.1", "2001:db8::/64", "::1"] {
        assert_eq!(lists.verdict(claimed), Some(Verdict::Allow), "{claimed}");
        for key in [RequestKey::from(key(claimed)), RequestKey::new(claimed), RequestKey::from(claimed)] {
            assert_eq!((text(&key), lists.verdict(text(&key))), (&*format!("text:{claimed}"), None));
        }
    }
    assert_eq!(text(&RequestKey::new("text:10.0.0.1")), "text:text:10.0.0.1", "another text, another key");
    assert_eq!(text(&RequestKey::new("ada")), "ada");
    // A header's name and value together are not an address either.
    let dead = from("1.1.1.1:1", &[("dead", b":1")]);
    assert_eq!(lists.verdict(text(&ByHeader::new(HeaderName::from_static("dead")).key(&dead))), None);
    let own = ByAddress::new(peer).key(&from("10.0.0.1:1", &[]));
    assert_eq!(lists.verdict(text(&own)), Some(Verdict::Allow), "the server found it");
    assert_eq!(own, RequestKey::verbatim("10.0.0.1"));
}

#[test]
fn two_keys_make_one_or_the_first_of_two() {
    let both = Together(ByAddress::new(peer), ByHeader::new(ACCOUNT));
    let first = FirstOf(ByHeader::new(ACCOUNT), ByAddress::new(peer));
    let known = from("203.0.113.7:1", &[("x-account", b"ada")]);
    let unknown = from("203.0.113.7:1", &[]);
    let hostile = from("203.0.113.7:1", &[("x-account", b"\xff")]);
    assert_eq!(text(&both.key(&known)), "203.0.113.7|x-account:ada");
    assert_eq!(text(&both.key(&unknown)), "203.0.113.7|", "leaving a part out is no way out");
    assert_eq!((text(&first.key(&known)), text(&first.key(&unknown))), ("x-account:ada", "203.0.113.7"));
    assert!(both.key(&hostile).bad_reason().is_some() && first.key(&hostile).bad_reason().is_some());
    // A client cannot name an account that equals another client's address.
    let forged = from("6.6.6.6:1", &[("x-account", b"203.0.113.7")]);
    assert_ne!(first.key(&forged), first.key(&unknown));
    let nothing = Together(ByHeader::new(ACCOUNT), ByApiKey::bearer());
    assert!(nothing.key(&unknown).is_uncounted());
}

fn value() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![32_u8..127, 128_u8..=255, Just(b'|'), Just(b'\\'), Just(b','), Just(b'"')];
    let long = |text: Vec<u8>| text.iter().copied().cycle().take(if text.is_empty() { 0 } else { 10_240 }).collect();
    prop_oneof![prop::collection::vec(byte.clone(), 0..60), prop::collection::vec(byte, 0..60).prop_map(long)]
}

proptest! {
    /// For any input, the result is a bounded key, no key, or a refusal, and the address is the
    /// peer's.
    #[test]
    fn any_headers_make_a_bounded_key(one in value(), other in value(), forwarded in value()) {
        let request = from("203.0.113.7:1", &[
            ("x-account", &one),
            ("authorization", &[b"Bearer ", other.as_slice()].concat()),
            ("x-forwarded-for", &forwarded),
            ("forwarded", &forwarded),
        ]);
        let address = ByAddress::new(peer);
        prop_assert_eq!(address.key(&request), RequestKey::verbatim("203.0.113.7"));
        let behind = address.clone().behind("203.0.113.7".parse::<TrustedProxies>().unwrap());
        let keys = [
            behind.key(&request),
            ByHeader::new(ACCOUNT).key(&request),
            ByApiKey::bearer().key(&request),
            Together(address, Together(ByHeader::new(ACCOUNT), ByApiKey::bearer())).key(&request),
        ];
        for key in keys {
            prop_assert!(text(&key).len() <= 1_024);
        }
    }

    #[test]
    fn different_pairs_have_different_keys(a in "[a|\\\\]{0,6}", b in "[a|\\\\]{0,6}", c in "[a|\\\\]{0,6}", d in "[a|\\\\]{0,6}") {
        let pair = |one: String, other: String| {
            let (one, other) = (move |_: &Request<()>| one.clone(), move |_: &Request<()>| other.clone());
            Together(one, other).key(&Request::get("/").body(()).unwrap())
        };
        let same = a == c && b == d;
        prop_assert_eq!(pair(a, b) == pair(c, d), same);
    }
}
