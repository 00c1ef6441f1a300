//! The payload that a commit sends on PostgreSQL's channel: some invalidations, as JSON.

use serde::{Deserialize, Serialize};

use super::purge::Invalidation;

/// Maximum payload in bytes. PostgreSQL's limit is just below 8,000.
const LONGEST: usize = 7_000;
/// Maximum number of invalidations that are listed. With more, everything is invalidated, since a
/// listener would need too long for the list.
const MOST: usize = 32;

/// A payload of the channel.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Notice {
    /// The process that has already applied the invalidations. 0 if none has.
    pub(super) origin: i64,
    /// Kind, name and class of each invalidation, as in the table.
    pub(super) stale: Vec<(String, String, Option<String>)>,
}

/// Returns the channel of an installation. One database may contain several installations, each in
/// a separate schema.
pub(super) fn channel(installation: &str) -> String {
    format!("tidegate_{installation}")
}

/// Returns the payloads for these invalidations.
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
    fn each_name_is_sent_once_in_pieces_that_fit_the_channel() {
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
