//! Whose span a load runs in.

use std::cell::RefCell;
use std::collections::HashMap;
use std::convert::Infallible;
use std::time::Duration;

use tidegate_cache::{Fill, Key, TieredCache, TtlClass, TypedCache};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Instrument, Metadata, Span, Subscriber, info_span};
use tracing_core::span::Current;

const PAGES: TtlClass = TtlClass::new("pages", Duration::from_secs(60));

thread_local! {
    static WITHIN: RefCell<Vec<(Id, &'static Metadata<'static>)>> = const { RefCell::new(Vec::new()) };
    static NAMED: RefCell<HashMap<u64, &'static Metadata<'static>>> = RefCell::new(HashMap::new());
}

/// Knows of one thread which span it is in.
struct Spans;

impl Subscriber for Spans {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        NAMED.with_borrow_mut(|named| {
            let id = named.len() as u64 + 1;
            named.insert(id, span.metadata());
            Id::from_u64(id)
        })
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, _: &Event<'_>) {}

    fn enter(&self, id: &Id) {
        let metadata = NAMED.with_borrow(|named| named[&id.into_u64()]);
        WITHIN.with_borrow_mut(|within| within.push((id.clone(), metadata)));
    }

    fn exit(&self, _: &Id) {
        WITHIN.with_borrow_mut(Vec::pop);
    }

    fn current_span(&self) -> Current {
        WITHIN.with_borrow(|within| match within.last() {
            Some((id, metadata)) => Current::new(id.clone(), metadata),
            None => Current::none(),
        })
    }
}

fn here() -> &'static str {
    Span::current().metadata().map_or("none", Metadata::name)
}

fn key(name: &str) -> Key {
    Key::builder("page").part(name).build().expect("a key")
}

async fn load(pages: &TypedCache<&'static str>, name: &str) -> &'static str {
    let key = key(name);
    let loaded = pages.fetch(&key, async || Ok::<_, Infallible>(Fill::new(here())));
    *loaded.await.expect("it loads").value
}

async fn load_many(pages: &TypedCache<&'static str>, name: &str) -> &'static str {
    let loader = async |keys: Vec<Key>| {
        Ok::<_, Infallible>(keys.into_iter().map(|key| (key, Fill::new(here()))).collect::<Vec<_>>())
    };
    let loaded = pages.fetch_many([key(name)], loader).await;
    let loaded = loaded.into_iter().next().expect("one for each key").expect("it loads");
    *loaded.expect("a value").value
}

#[tokio::test]
async fn a_load_is_in_the_span_of_its_first_caller() {
    let _subscriber = tracing::subscriber::set_default(Spans);
    let pages = TieredCache::builder().build().typed::<&'static str>(PAGES);
    assert_eq!(load(&pages, "first").instrument(info_span!("asker")).await, "asker");
    assert_eq!(load_many(&pages, "second").instrument(info_span!("reader")).await, "reader");
    assert_eq!(load(&pages, "third").await, "none");
}
