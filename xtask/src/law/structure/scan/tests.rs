use super::{Scanned, scan};

fn scanned(text: &str) -> Scanned {
    scan(text).unwrap()
}

fn mentions(text: &str) -> Vec<String> {
    scanned(text).scopes.iter().flat_map(|scope| scope.mentions.iter().map(|m| m.path.join("::"))).collect()
}

fn uses(text: &str) -> Vec<String> {
    scanned(text).scopes.iter().flat_map(|scope| scope.uses.iter().map(|used| used.path.join("::"))).collect()
}

fn defined(text: &str) -> Vec<String> {
    let mut names: Vec<String> = scanned(text).scopes[0].defined.iter().cloned().collect();
    names.sort();
    names
}

#[test]
fn uses_are_found_with_their_line_and_visibility() {
    let scope = &scanned("//! A module.\n\nuse a::B;\npub(crate) use c::D;\nfn f() {\n    use e::F;\n}\n").scopes[0];
    let found: Vec<_> = scope.uses.iter().map(|used| (used.path.join("::"), used.public, used.line)).collect();
    assert_eq!(found, [("a::B".into(), false, 3), ("c::D".into(), true, 4), ("e::F".into(), false, 6)]);
}

#[test]
fn a_captured_lifetime_is_no_import() {
    assert_eq!(uses("fn f<'a>() -> impl Sized + use<'a> { crate::g() }"), Vec::<String>::new());
}

#[test]
fn paths_are_found_wherever_they_stand() {
    assert_eq!(mentions("fn f(a: crate::a::B<super::C>) -> self::d::E {}"), ["crate::a::B", "super::C", "self::d::E"]);
    assert_eq!(mentions("fn f() { println!(\"{}\", crate::a::b()); child::c::<u8>(); }"), ["crate::a::b", "child::c"]);
    assert_eq!(mentions("macro_rules! m { ($x:expr) => { $crate::a::b($x) } }"), ["crate::a::b"]);
    assert_eq!(mentions("impl<T: crate::a::B> C for D<T> {}"), ["crate::a::B"]);
}

#[test]
fn what_is_no_path_of_ours_is_left_out() {
    for text in [
        "pub(in crate::a) fn f() {}",
        "fn f() { ::std::mem::drop(1) }",
        "fn f<T: Trait>() { let _: <T as Trait>::Out; }",
        "// crate::a::b\n/// [`crate::a`]\nfn f() {}",
        "const A: &str = \"crate::a::b\";",
    ] {
        assert_eq!(mentions(text), Vec::<String>::new(), "{text}");
    }
}

#[test]
fn items_are_known_by_their_names() {
    let text = "pub struct A; enum B {} trait C { fn no(); } const fn d() {} static E: u8 = 0; pub async fn f() {} \
                macro_rules! g { () => {} } impl A { fn no() {} const NO: u8 = 0; } type H = u8; const _: () = ();";
    assert_eq!(defined(text), ["A", "B", "C", "E", "H", "_", "d", "f", "g"]);
}

#[test]
fn inline_modules_are_scopes_of_their_own() {
    let scanned = scanned("use a::A;\nmod b {\n    use super::A;\n    mod c;\n    mod d { use e::E; }\n}\nmod f;\n");
    let inside: Vec<String> = scanned.scopes.iter().map(|scope| scope.inside.join("::")).collect();
    assert_eq!(inside, ["", "b", "b::d"]);
    assert_eq!(scanned.scopes[0].declarations[0].name, "f");
    assert_eq!(scanned.scopes[1].declarations[0].name, "c");
    assert_eq!(scanned.scopes[1].uses.len(), 1);
}

#[test]
fn tests_are_left_out_and_their_lines_counted() {
    let text =
        "use a::A;\n\n#[cfg(test)]\nmod tests {\n    use b::B;\n}\n#[cfg(test)]\nmod more;\nfn f() { c::d(); }\n";
    assert_eq!(uses(text), ["a::A"]);
    assert_eq!(mentions(text), ["c::d"]);
    let scanned = scanned(text);
    assert_eq!(scanned.test_lines, 6);
    assert_eq!(scanned.scopes[0].declarations, []);
}

#[test]
fn tests_are_what_is_compiled_for_tests_alone() {
    for (condition, is_test) in [
        ("test", true),
        ("all(test, feature = \"x\")", true),
        ("any(test, feature = \"x\")", false),
        ("not(test)", false),
        ("all(unix, not(test))", false),
        ("feature = \"test\"", false),
    ] {
        let text =
            format!("#[cfg({condition})]\n#[derive(Debug)]\npub fn f<A, B>(a: A) -> a::B {{ a::b() }}\nuse c::D;");
        assert_eq!(mentions(&text).is_empty(), is_test, "{condition}");
        assert_eq!(uses(&text), ["c::D"], "{condition}");
    }
}

#[test]
fn a_test_field_ends_at_its_comma() {
    let text = "struct A { #[cfg(test)] a: x::X, b: y::Y }\n#[cfg(test)]\nuse z::{Z};\nfn f() { w::v() }";
    assert_eq!(mentions(text), ["y::Y", "w::v"]);
    assert_eq!(uses(text), Vec::<String>::new());
}

#[test]
fn what_is_not_rust_is_an_error() {
    assert!(scan("fn f( {").unwrap_err().starts_with("not Rust: "));
}
