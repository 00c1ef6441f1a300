use super::of;
use crate::law::structure::modules::read;

/// Imports as "from to", without directory and ending.
fn imports(texts: &[(&str, &str)]) -> Vec<String> {
    let files: Vec<(String, String)> =
        texts.iter().map(|(path, text)| (format!("src/{path}.rs"), (*text).to_owned())).collect();
    let tree = read(&["src/lib.rs".into()], &files).unwrap();
    let short = |path: &str| path.trim_start_matches("src/").trim_end_matches(".rs").to_owned();
    let mut found: Vec<String> =
        of(&tree).iter().map(|import| format!("{} {}", short(&import.from), short(&import.to))).collect();
    found.sort();
    found.dedup();
    found
}

/// Returns the imports of `a` in a crate with `b`, `b/c`, `b/e` and `d`.
///
/// `lib` re-exports `Two` and `Four`.
fn of_a(text: &str) -> Vec<String> {
    let mut found = imports(&[
        ("lib", "mod a;\nmod b;\nmod d;\npub use b::Two;\nuse d::Four;\nstruct Zero;\n"),
        ("a", text),
        ("b", "mod c;\nmod e;\npub use c::Two;\npub use e::*;\npub struct One;\n"),
        ("b/c", "pub struct Two;\n"),
        ("b/e", "pub struct Five;\n"),
        ("d", "pub struct Four;\npub use crate::b as other;\n"),
    ]);
    found.retain(|import| import.starts_with("a "));
    found
}

#[test]
fn a_path_leads_to_the_file_that_defines() {
    for (text, to) in [
        ("use crate::b::One;", "b"),
        ("use super::b::One;", "b"),
        ("use crate::b::c::Two;", "b/c"),
        ("fn f(_: crate::b::One) {}", "b"),
        ("fn f() { println!(\"{}\", super::b::One) }", "b"),
        ("use crate::Zero;", "lib"),
        ("use super::Zero;", "lib"),
    ] {
        assert_eq!(of_a(text), [format!("a {to}")], "{text}");
    }
}

#[test]
fn re_exports_are_followed() {
    for (text, to) in [
        ("use crate::b::Two;", "b/c"),
        ("use crate::Two;", "b/c"),
        ("use super::Four;", "d"),
        ("use crate::b::Five;", "b/e"),
        ("use crate::d::other::Two;", "b/c"),
    ] {
        assert_eq!(of_a(text), [format!("a {to}")], "{text}");
    }
}

#[test]
fn what_cannot_be_followed_leads_to_the_parent() {
    assert_eq!(of_a("use crate::b::MadeByAMacro;"), ["a b"]);
}

#[test]
fn a_module_that_is_imported_counts_as_what_is_used_of_it() {
    assert_eq!(of_a("use crate::b;\nfn f(_: b::Two) {}"), ["a b/c"]);
    assert_eq!(of_a("use crate::{b as x};\nfn f(_: x::Two, _: x::One) {}"), ["a b", "a b/c"]);
    assert_eq!(of_a("use crate::b;"), ["a b"]);
}

#[test]
fn other_crates_are_none_of_ours() {
    assert_eq!(
        of_a("use serde::Serialize;\nuse b::One;\nfn f() { std::mem::drop(1); b::c::d(); }"),
        Vec::<String>::new()
    );
}

#[test]
fn a_declaration_is_no_import_and_neither_is_what_a_parent_passes_on() {
    assert_eq!(imports(&[("lib", "mod a;\npub use a::A;"), ("a", "pub struct A;")]), Vec::<String>::new());
    assert_eq!(imports(&[("lib", "mod a;\npub use a::*;"), ("a", "pub struct A;")]), Vec::<String>::new());
}

#[test]
fn what_a_parent_uses_it_imports() {
    for text in [
        "mod a;\npub use a::A;\nfn f(_: A) {}",
        "mod a;\nuse a::A;",
        "mod a;\nfn f(_: a::A) {}",
        "mod a;\nfn f(_: self::a::A) {}",
    ] {
        assert_eq!(imports(&[("lib", text), ("a", "pub struct A;")]), ["lib a"], "{text}");
    }
}

#[test]
fn inline_modules_belong_to_their_file() {
    let lib = "mod a;\nmod inline {\n    use super::a::A;\n    fn f() { super::g() }\n}\nfn g() {}";
    assert_eq!(imports(&[("lib", lib), ("a", "pub struct A;\nuse crate::inline::B;")]), ["a lib", "lib a"]);
}

#[test]
fn names_that_lead_in_a_cycle_end() {
    assert_eq!(
        imports(&[("lib", "mod a;\nmod b;"), ("a", "pub use crate::b::X;"), ("b", "pub use crate::a::X;")]),
        ["a b", "b a"]
    );
}
