//! Planted secrets do not show, whatever is around them.

use proptest::prelude::*;
use tidegate_perfmon::mask;

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
        "?a=b&key=§&c=d",
        "auth=§",
        "oauth_code=§",
        "tokens=§",
        "p%61ssword=§",
        "/%74oken%3D§",
        "https://hooks.slack.com/services/T§",
    ]);
    prop_oneof![
        (key, form, secret()).prop_map(|(key, form, secret)| (form.replace('¶', key).replace('§', &secret), secret)),
        (fixed, secret()).prop_map(|(form, secret)| (form.replace('§', &secret), secret)),
    ]
}

/// A number with a right check digit, in groups.
fn card() -> impl Strategy<Value = (String, String)> {
    ("[3-6][0-9]{11,17}", prop::sample::select(vec!["", " ", "-", "+", "%20", ".", "_", "  ", "/"])).prop_map(
        |(head, divider)| {
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
            let groups: Vec<&str> =
                number.as_bytes().chunks(4).map(|group| std::str::from_utf8(group).unwrap()).collect();
            (groups.join(divider), number)
        },
    )
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
        let masked = mask(&format!("{before}{text}{after}")).replace("%20", "").replace([' ', '-', '+', '.', '_', '/'], "");
        prop_assert!(!masked.contains(&number), "{text} {masked}");
    }

    #[test]
    fn cut_secrets_do_not_show_either((text, secret) in planted(), cut: prop::sample::Index) {
        // An address or a URL without its `@` cannot be recognized.
        prop_assume!(!text.contains('@') && !text.contains("%40"));
        let at = text.floor_char_boundary(cut.index(text.len()));
        let masked = mask(&text[..at]).into_owned();
        prop_assert!(!masked.contains(&secret[..8]), "{}\n  {masked}", &text[..at]);
    }

    #[test]
    fn any_text_is_accepted(text in "\\PC{0,60}|(password|token|Bearer |://|@|%40|eyJ|tk_|-----BEGIN PRIVATE|4111|[:=\"'\\\\ \n{\\[é1a]){0,30}") {
        let masked = mask(&text).into_owned();
        prop_assert!(masked.len() <= text.len().max(4) * 4, "{masked}");
    }
}
