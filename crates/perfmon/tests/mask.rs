//! What looks like a secret does not show.

#![allow(clippy::unwrap_used, clippy::panic, reason = "in a test a panic is an answer")]

use std::borrow::Cow;

use proptest::prelude::*;
use tidegate_perfmon::mask;

#[test]
fn secrets_are_taken_out_and_the_rest_stays() {
    for (text, expected) in [
        ("Authorization: Bearer abc.def-123 x", "Authorization: ****"),
        ("sent 'bearer  abc', got 401", "sent 'bearer  ****', got 401"),
        ("header Basic QWxhZGRpbjpvcGVu, next", "header Basic ****, next"),
        ("?auth=Bearer%20abc&x=1", "?auth=Bearer%20****&x=1"),
        ("GET /login?user=ada&password=hunter2&next=/home", "GET /login?user=ada&password=****&next=/home"),
        (r#"{"user":"ada","password":"hun\"ter2","id":5}"#, r#"{"user":"ada","password":"****","id":5}"#),
        (r#""{\"api_key\":\"a\\\"b\",\"id\":5}""#, r#""{\"api_key\":\"****\",\"id\":5}""#),
        (r#"{"tokens":["a","b"],"refresh_token":["a"]}"#, r#"{"tokens":["a","b"],"refresh_token":****"#),
        ("ALTER USER ada PASSWORD 'it''s secret' VALID", "ALTER USER ada PASSWORD '****' VALID"),
        ("psql --password hunter2 -h db", "psql --password **** -h db"),
        ("DB_PASSWORD=hunter2 HOST=db", "DB_PASSWORD=**** HOST=db"),
        ("x-api-key: abc\nhost: db", "x-api-key: ****\nhost: db"),
        ("Cookie: a=b; sid=c\nHost: x", "Cookie: ****\nHost: x"),
        ("Set-Cookie: sid=c; Path=/\r\nHost: x", "Set-Cookie: ****\r\nHost: x"),
        ("form[password]=abc&x=1", "form[password]=****&x=1"),
        ("u=http%3A%2F%2Fx%3Ftoken%3Dabc&x=1", "u=http%3A%2F%2Fx%3Ftoken%3D****&x=1"),
        ("Secret { client_secret: \"cut", "Secret { client_secret: \"****"),
        ("client_secret => 'x', a => 'b'", "client_secret => '****', a => 'b'"),
        ("mail to ada.b+c@mail.example.org.", "mail to ****."),
        ("to=ada%40example.org&x=1", "to=****&x=1"),
        ("müller@straße.de wrote", "**** wrote"),
        ("paid with 4111 1111 1111 1111 123", "paid with **** 123"),
        ("card 5500-0055-5555-5559, due 12/29", "card ****, due 12/29"),
        ("378282246310005", "****"),
        ("/pay/4111%201111%201111%201111?x=1", "/pay/****?x=1"),
        ("card=4111+1111+1111+1111&x=1", "card=****&x=1"),
        ("card:%204111111111111111", "card:%20****"),
        ("DB_PASS=hunter2 HOST=db", "DB_PASS=**** HOST=db"),
        ("/blob?sv=1&sig=abc%2Fdef&x=1", "/blob?sv=1&sig=****&x=1"),
        ("user.jwt: abc, otp=123456, x-pin: 1234", "user.jwt: ****, otp=****, x-pin: ****"),
        ("?key=AIzaSyA0123456789 was used", "?key=**** was used"),
        ("sent ApiKey abc-123, got 401", "sent ApiKey ****, got 401"),
        ("key tk_0123456789abcdef was used", "key **** was used"),
        ("jwt eyJhbGciOi.eyJzdWIi.c2ln_-x end", "jwt **** end"),
        ("postgres://ada:p@ss@db:5432/x?a=b", "postgres://****@db:5432/x?a=b"),
        ("redis://:hun/ter2@db:6379/0", "redis://****@db:6379/0"),
        ("redis://:hunter", "redis://****"),
        ("-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY----- ok", "**** ok"),
        ("-----BEGIN PRIVATE KEY-----\nMIIE", "****"),
    ] {
        assert_eq!(mask(text), expected);
        assert_eq!(mask(expected), expected, "masked again");
    }
}

#[test]
fn what_is_no_secret_stays_and_costs_no_allocation() {
    for text in [
        "",
        "GET /api/schedules/{id} took 512 ms, 3 of 40 were slow",
        "select name from users where id = ? and kind = ?",
        "https://db.example.org:8443/path?page=2#top and http://[::1]:80/",
        "2026-11-22T08:00:00Z request 0193b2c4-8d3e-7b8f-9a66-2f1f3a5b7c9d at 1763798400123",
        "4111 1111 1111 1112 is no card, nor is 12345678901234567890123",
        "the compass passed 3 designs: passes=2, pins=4",
        "4 @ 5, a tokenless basics, max_tokens=5, __unmatched__",
        "-----BEGIN CERTIFICATE-----\nMIIE\n-----END CERTIFICATE-----",
    ] {
        assert!(matches!(mask(text), Cow::Borrowed(same) if same == text), "{}", mask(text));
    }
}

/// Letters and digits that no other text here has.
fn secret() -> impl Strategy<Value = String> {
    "[qzxQZX][qzxjQZXJ7]{8,24}"
}

/// A secret as it appears, and what else must not show.
fn planted() -> impl Strategy<Value = (String, String)> {
    let key = prop::sample::select(vec![
        "password",
        "PASSWORD",
        "user_password",
        "db.passwd",
        "pwd",
        "client-secret",
        "token",
        "access_token",
        "X-Api-Key",
        "apiKey",
        "sessionid",
        "Private-Key",
        "credentials",
        "signature",
        "db_pass",
        "sig",
        "x-otp",
    ]);
    let form = prop::sample::select(vec![
        "¶=§",
        "¶: §",
        "¶:§",
        "¶ = §",
        "\"¶\":\"§\"",
        "\"¶\" : \"§\"",
        "'¶': '§'",
        "\\\"¶\\\":\\\"§\\\"",
        "?a=b&¶=§&c=d",
        "¶=\"§\"",
        "¶='§'",
        "--¶ §",
        "¶ '§'",
        "¶=\"§",
        "a[¶]=§",
        "¶ => \"§\"",
        "¶%3D§",
        "{\"¶\":[\"§\",\"§\"]}",
        "{\"¶\":{\"a\":\"§\"}}",
        "¶=\"a b § c\"",
        "¶='it''s §'",
        "¶=\"a\\\"§\"",
    ]);
    let fixed = prop::sample::select(vec![
        "Bearer §",
        "bearer\t§",
        "BASIC §==",
        "Authorization: §",
        "authorization: Digest a=§, b=§",
        "Cookie: a=§; b=§",
        "set-cookie: id=§; Path=/",
        "postgres://ada:§@db/x",
        "redis://:§@db:6379",
        "amqp://§:§@db",
        "https://a:§/§@db/x",
        "§@example.org",
        "§%40example.org",
        "§.§@a.b.org",
        "tk_§",
        "ghp_§",
        "xoxb-§",
        "eyJ§.§.§",
        "eyJ§",
        "-----BEGIN EC PRIVATE KEY-----\n§\n§\n-----END EC PRIVATE KEY-----",
        "-----BEGIN PRIVATE KEY-----\n§",
        "cookie=§",
    ]);
    prop_oneof![
        (key, form, secret()).prop_map(|(key, form, secret)| (form.replace('¶', key).replace('§', &secret), secret)),
        (fixed, secret()).prop_map(|(form, secret)| (form.replace('§', &secret), secret)),
    ]
}

/// A number with a right check digit, in groups.
fn card() -> impl Strategy<Value = (String, String)> {
    ("[3-6][0-9]{11,17}", prop::sample::select(vec!["", " ", "-", "+", "%20"])).prop_map(|(head, divider)| {
        let sum: u32 = head
            .bytes()
            .rev()
            .enumerate()
            .map(|(place, digit)| {
                let digit = u32::from(digit - b'0') * if place % 2 == 0 { 2 } else { 1 };
                digit / 10 + digit % 10
            })
            .sum();
        let number = format!("{head}{}", (10 - sum % 10) % 10);
        let groups: Vec<&str> = number.as_bytes().chunks(4).map(|group| std::str::from_utf8(group).unwrap()).collect();
        (groups.join(divider), number)
    })
}

#[test]
fn a_long_text_takes_no_longer_a_byte() {
    for part in [
        "://",
        "a@",
        "%40",
        "token=[",
        "token='",
        "sk-",
        "eyJ.",
        "-----BEGIN PRIVATE ",
        "4 ",
        "bearer+",
        "a",
        "password",
        "é",
    ] {
        let text = part.repeat(50_000 / part.len());
        assert!(mask(&text).len() <= 2 * text.len()); // ends within the time of a test
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    #[test]
    fn no_planted_secret_shows(before in "([a-p é,;:(\\[{=]{0,12}[ ,;(\\[{\n])?", (text, secret) in planted(), after in "([ \n,;)}\\]&][ -~]{0,12})?") {
        let text = format!("{before}{text}{after}");
        let masked = mask(&text);
        prop_assert!(!masked.contains(&secret), "{text}\n  {masked}");
    }

    #[test]
    fn no_card_shows(before in "([a-z ]{0,9}[ :=])?", (text, number) in card(), after in "([ .,][a-z 0-9]{0,9})?") {
        let masked = mask(&format!("{before}{text}{after}")).replace("%20", "").replace([' ', '-', '+'], "");
        prop_assert!(!masked.contains(&number), "{text} {masked}");
    }

    #[test]
    fn cut_secrets_do_not_show_either((text, secret) in planted(), cut: prop::sample::Index) {
        // Of an address or a URL without its `@` nobody can know.
        prop_assume!(!text.contains('@') && !text.contains("%40"));
        let at = text.floor_char_boundary(cut.index(text.len()));
        let masked = mask(&text[..at]).into_owned();
        prop_assert!(!masked.contains(&secret[..8]), "{}\n  {masked}", &text[..at]);
    }

    #[test]
    fn no_text_is_too_strange(text in "\\PC{0,60}|(password|token|Bearer |://|@|%40|eyJ|tk_|-----BEGIN PRIVATE|4111|[:=\"'\\\\ \n{\\[é1a]){0,30}") {
        let masked = mask(&text).into_owned();
        prop_assert!(masked.len() <= text.len().max(4) * 4, "{masked}");
    }
}
