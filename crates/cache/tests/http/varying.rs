//! `Vary`: RFC 9111, section 4.1.

use crate::ground::{Ground, answer};

/// Answers in the requested language, and states in `Vary` that it does.
fn by_language() -> Ground {
    Ground::new(|request, call| {
        let language: Vec<_> =
            request.headers().get_all("accept-language").iter().map(|v| v.to_str().unwrap()).collect();
        answer(
            format!("{} {call}", language.join("|")),
            &[("cache-control", "max-age=60, stale-if-error=600"), ("vary", "Accept-Language")],
        )
    })
}

#[tokio::test]
async fn rfc9111_4_1_each_request_gets_the_response_that_it_selects() {
    let ground = by_language();
    for expected in ["de 0", "en 1", "fr 2"] {
        let language = &expected[..2];
        assert_eq!(ground.get(&[("accept-language", language)]).await.body, expected);
    }
    for expected in ["fr 2", "de 0", "en 1"] {
        assert_eq!(ground.get(&[("accept-language", &expected[..2])]).await.body, expected);
    }
    assert_eq!(ground.get(&[]).await.body, " 3", "no header is not an empty one, nor any other");
    assert_eq!(ground.get(&[("accept-language", "")]).await.body, " 4");
    assert_eq!(ground.calls(), 5);
}

#[tokio::test]
async fn rfc9111_4_1_a_variant_says_that_it_was_one() {
    let ground = by_language();
    ground.get(&[("accept-language", "de")]).await;
    assert_eq!(ground.get(&[("accept-language", "en")]).await.did(), "fwd=vary-miss; ttl=60; stored");
}

#[tokio::test]
async fn rfc9111_4_1_blanks_and_lines_make_no_difference() {
    let ground = by_language();
    ground.get(&[("accept-language", "de,en")]).await;
    ground.get(&[("accept-language", " de ,  en ")]).await;
    ground.get(&[("accept-language", "de"), ("accept-language", "en")]).await;
    assert_eq!(ground.calls(), 1);
    ground.get(&[("accept-language", "en,de")]).await;
    ground.get(&[("accept-language", "de"), ("accept-language", "fr")]).await;
    assert_eq!(ground.calls(), 3, "every line counts, not the first alone");
}

#[tokio::test]
async fn rfc9111_4_1_each_variant_has_its_own_lifetime() {
    let ground = by_language();
    ground.get(&[("accept-language", "de")]).await;
    ground.pass(30);
    ground.get(&[("accept-language", "en")]).await;
    ground.pass(30);
    assert_eq!(ground.get(&[("accept-language", "en")]).await.body, "en 1");
    assert_eq!(ground.get(&[("accept-language", "de")]).await.body, "de 2");
}

#[tokio::test]
async fn rfc9111_4_1_a_response_that_varies_by_everything_is_not_stored() {
    for vary in ["*", "accept, *"] {
        let ground = Ground::new(move |_, call| answer(call, &[("cache-control", "max-age=60"), ("vary", vary)]));
        ground.get(&[]).await;
        assert_eq!(ground.get(&[]).await.body, "1", "{vary}");
    }
}

#[tokio::test]
async fn all_lines_of_vary_count() {
    let ground =
        Ground::new(|_, call| answer(call, &[("cache-control", "max-age=60"), ("vary", "accept"), ("vary", "x-plan")]));
    ground.get(&[("x-plan", "free")]).await;
    assert_eq!(ground.get(&[("x-plan", "paid")]).await.body, "1");
    assert_eq!(ground.get(&[("x-plan", "free")]).await.body, "0");
}

#[tokio::test]
async fn a_response_that_begins_to_vary_is_not_given_to_those_it_excludes() {
    let ground = Ground::new(|_, call| match call {
        0 => answer(call, &[("cache-control", "max-age=60")]),
        _ => answer(call, &[("cache-control", "max-age=60"), ("vary", "x-plan")]),
    });
    ground.get(&[("x-plan", "free")]).await;
    assert_eq!(ground.get(&[("x-plan", "paid")]).await.body, "0");
    ground.pass(60);
    assert_eq!(ground.get(&[("x-plan", "paid")]).await.body, "1");
    assert_eq!(ground.get(&[("x-plan", "free")]).await.body, "2");
    assert_eq!(ground.get(&[("x-plan", "paid")]).await.body, "1");
}
