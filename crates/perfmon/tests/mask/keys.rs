//! Keys, cards and accounts by their form.

use tidegate_perfmon::mask;

/// Examples of the keys of services, webhooks, cards and accounts, in any text. None is a real one.
const KEYS: [&str; 58] = [
    "AKIAIOSFODNN7EXAMPLE",
    "ASIAIOSFODNN7EXAMPLE",
    "ASIAIOSFODNNXEXAMPLE",
    "ghp_16C7e42F292c6912E7710c838347Ae178B4a",
    "gho_16C7e42F292c6912E7710c838347Ae178B4a",
    "ghu_16C7e42F292c6912E7710c838347Ae178B4a",
    "ghs_16C7e42F292c6912E7710c838347Ae178B4a",
    "ghr_16C7e42F292c6912E7710c838347Ae178B4a",
    "github_pat_11ABCDEFG0abcdefghijkl_mnopqrstuvwxyz",
    "glpat-x1y2z3x1y2z3x1y2z3x1",
    "glpat-x1y2z3x1y2z3x1y2z3x1.01.0a1b2c3d4",
    "gldt-x1y2z3x1y2z3x1y2z3x1",
    "glrt-x1y2z3x1y2z3x1y2z3x1",
    "xoxa-2-1234567890-abcdef",
    "xoxb-1234567890-abcdef",
    "xoxc-1234567890-abcdef",
    "xoxd-1234567890/abcdef+g=",
    "xoxe-1-1234567890-abcdef",
    "xoxe.xoxp-1-Mi0yLTEyMzQ1",
    "xoxp-1234567890-abcdef",
    "xoxr-1234567890-abcdef",
    "xoxs-1234567890-abcdef",
    "xapp-1-A0123456789-abcdef",
    "npm_1234567890abcdefghijABCDEFGHIJ123456",
    "npm_abcdefghijklmnopqrstuvwxyzABCDEFGHIJ",
    "SG.abcdefghijklmnopqrstuv.ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_abcde",
    "ya29.a0AfH6SMBx-y_z.0123",
    "AIzaSyA0123456789-abcdefghijklmnopqrstu",
    "GOCSPX-abcdefghijklmnopqrst",
    "sk_live_4eC39HqLyjWDarjtT1zdp7dc",
    "rk_live_4eC39HqLyjWDarjtT1zdp7dc",
    "rk_test_4eC39HqLyjWDarjtT1zdp7dc",
    "sk-proj-abcdEFGH1234",
    "sk-ant-api03-abcdEFGH1234",
    "tk_0123456789abcdef",
    "whsec_0123456789abcdef",
    "pypi-AgEIcHlwaS5vcmcCJDAw",
    "dckr_pat_0123456789abcdef",
    "hvs.CAESIJ0123456789",
    "glsa_0123456789abcdef",
    "shpat_0123456789abcdef",
    "dop_v1_0123456789abcdef",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl_-x",
    "eyJhbGciOiJub25lIn0.eyJzdWIiOiIxIn0.",
    "4111111111111111",
    "4111.1111.1111.1111",
    "4111_1111_1111_1111",
    "4111-1111-1111-1111",
    "4111 1111 1111 1111",
    "3782.822463.10005",
    "0000004111111111111111",
    "5555\u{a0}5555\u{a0}5555\u{a0}4444",
    "DE89370400440532013000",
    "DE89 3704 0044 0532 0130 00",
    "gb82.west.1234.5698.7654.32",
    "NL91_ABNA_0417_1643_00",
    "NO9386011117947",
    "MT84MALT011000012345MTLCAST001S",
];

#[test]
fn keys_cards_and_accounts_are_recognized_by_their_form() {
    let escape = |text: &str| text.bytes().map(|byte| format!("%{byte:02x}")).collect::<String>();
    let as_json = |text: &str| text.chars().map(|char| format!("\\u{:04x}", u32::from(char))).collect::<String>();
    for key in KEYS {
        for before in ["", "/", "got ", "(", "\"", "x=", "_ ", "a,"] {
            for after in ["", " ", "/x", "\"", ", and", ")", "?a=b", "&a=b"] {
                let masked = mask(&format!("{before}{key}{after}")).into_owned();
                let rest = masked.strip_prefix(before).and_then(|rest| rest.strip_prefix("****"));
                assert!(rest.is_some_and(|rest| after.ends_with(rest)), "{before}{key}{after}: {masked}");
            }
        }
        let escaped = escape(key);
        assert_eq!(mask(&format!("/a/{escaped}/b")).replace("/b", ""), "/a/****");
        assert_eq!(mask(&format!("/a/{}/b", escape(&escaped))).replace("/b", ""), "/a/****");
        // By `\u` only ASCII is written with two digits.
        if key.is_ascii() {
            assert_eq!(mask(&format!("<{}>", as_json(key))), "<****>");
        }
    }
}
