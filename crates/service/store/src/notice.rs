//! What a commit says on PostgreSQL's channel to whoever listens: a few invalidations, as JSON.

use serde::{Deserialize, Serialize};

use super::purge::Invalidation;

/// PostgreSQL takes less than 8,000 bytes.
const LONGEST: usize = 7_000;
/// So many are told; more, and everything is stale: whoever hears them would else be at it for long.
const MOST: usize = 32;

/// What is read from the channel.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Notice {
    /// The process that has acted on it already; 0 for none.
    pub(super) origin: i64,
    /// Kind, name and class of each, as in the table.
    pub(super) stale: Vec<(String, String, Option<String>)>,
}

/// The channel of an installation: others may lie in the same database, each in a schema of its own.
pub(super) fn channel(installation: &str) -> String {
    format!("tidegate_{installation}")
}

/// The texts that tell of these.
pub(super) fn of(origin: i64, invalidations: &[Invalidation<'_>]) -> Vec<String> {
    let text = |stale| serde_json::json!(Notice { origin, stale }).to_string();
    let mut texts = Vec::new();
    let (mut stale, mut length) = (Vec::new(), 0);
    for Invalidation { kind, name, class } in invalidations {
        let one = ((*kind).to_owned(), (*name).to_owned(), class.map(str::to_owned));
        let size = serde_json::json!(one).to_string().len() + 1;
        if length + size > LONGEST && !stale.is_empty() {
            texts.push(text(std::mem::take(&mut stale)));
            length = 0;
        }
        length += size;
        stale.push(one);
    }
    if !stale.is_empty() {
        texts.push(text(stale));
    }
    if texts.len() > MOST || texts.iter().any(|text| text.len() > LONGEST + 500) {
        return vec![text(vec![("all".to_owned(), String::new(), None)])];
    }
    texts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(names: &[String]) -> Vec<String> {
        let tags: Vec<_> = names.iter().map(|name| Invalidation { kind: "tag", name, class: None }).collect();
        of(7, &tags)
    }

    fn read(texts: &[String]) -> Vec<String> {
        let notices = texts.iter().map(|text| serde_json::from_str::<Notice>(text).unwrap());
        notices.flat_map(|notice| notice.stale.into_iter().map(|(_, name, _)| name)).collect()
    }

    #[test]
    fn each_is_told_once_in_pieces_that_the_channel_takes() {
        assert!(told(&[]).is_empty());
        let names: Vec<String> = (0..300).map(|number| format!("{number:0200}\"\u{1f30a}")).collect();
        let texts = told(&names);
        assert!(texts.len() > 5 && texts.iter().all(|text| text.len() < 8_000));
        assert_eq!(read(&texts), names);
    }

    #[test]
    fn too_many_or_too_long_and_everything_is_stale() {
        let many: Vec<String> = (0..2_000).map(|number| format!("{number:0200}")).collect();
        for names in [many, vec!["x".repeat(9_000)]] {
            let texts = told(&names);
            assert_eq!(texts, [r#"{"origin":7,"stale":[["all","",null]]}"#]);
        }
    }
}
