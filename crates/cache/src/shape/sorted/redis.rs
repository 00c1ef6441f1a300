//! Sorted sets in Redis: two keys of one slot each.

use std::collections::HashMap;
use std::sync::LazyLock;

use futures_util::StreamExt;
use futures_util::stream::iter;
use tidegate_redis::{Arg, Client, ClockPrelude, Error, Script, Topology, Value};

use super::position::{Direction, Position};
use super::step::{Around, SortedRead, SortedWrite};
use crate::shape::error::ShapeError;
use crate::shape::store::Life;

/// Sets that one script adds to: about a millisecond of the server's time.
const STEP: usize = 64;
/// Sets in flight at once, so that the commands of others run between them.
const UNDER_WAY: usize = 1024;

const SHARED: &str = include_str!("../lua/sorted_set.lua");

static WRITE: LazyLock<Script> = LazyLock::new(|| {
    let body = format!("{SHARED}\n{}", include_str!("../lua/sorted_write.lua"));
    Script::timed("sorted set write", &body, &ClockPrelude::SERVER)
});
/// A full server refuses scripts that add before it runs them.
static ADD: LazyLock<Script> = LazyLock::new(|| WRITE.clone().refuse_oom());
static READ: LazyLock<Script> = LazyLock::new(|| {
    Script::new("sorted set read", format!("{SHARED}\n{}", include_str!("../lua/sorted_read.lua"))).idempotent()
});

/// The names of a set's two keys.
pub(in super::super) type Names = [String; 2];

/// One step on each set. In the order of `sets`: the replies, or their script's error.
pub(in super::super) async fn write(
    client: &Client,
    sets: Vec<Names>,
    step: SortedWrite<'_>,
    life: Life,
    limit: usize,
) -> Vec<Result<i64, ShapeError>> {
    let millis = u64::try_from(life.ttl.as_millis()).unwrap_or(u64::MAX).max(1);
    let mut args: Vec<Arg> = vec![millis.into(), u64::from(life.renews).into(), limit.into()];
    let mut scored = |name: &str, members: &mut dyn Iterator<Item = (&str, i64)>| {
        args.push(name.into());
        members.for_each(|(member, score)| args.extend([member.into(), score.into()]));
    };
    match step {
        SortedWrite::Add(members) => scored("add", &mut members.iter().copied()),
        SortedWrite::Improve(member, score) => scored("improve", &mut std::iter::once((member, score))),
        SortedWrite::Increment(member, by) => scored("increment", &mut std::iter::once((member, by))),
        SortedWrite::Remove(members) => scored("remove", &mut members.iter().map(|member| (*member, 0))),
    }
    // A command that removes the last member must be alone in its script.
    let (script, at_most) = if matches!(step, SortedWrite::Remove(_)) { (&*WRITE, 1) } else { (&*ADD, STEP) };
    let (count, groups) = (sets.len(), grouped(client, sets, at_most));
    let at_once = (UNDER_WAY * groups.len()).div_ceil(count.max(1)).max(1);
    let args = &args;
    let steps = groups.into_iter().map(|(slot, sets)| async move {
        let names = sets.iter().flat_map(|(_, names)| names).map(Arg::from);
        let all = names.chain(args.iter().cloned()).collect();
        let answers = client.run_in(slot, script, 2 * sets.len(), all).await.and_then(Value::into_array);
        (sets, answers)
    });
    let mut done = iter(steps).buffer_unordered(at_once);
    let mut results: Vec<Option<Result<i64, ShapeError>>> = (0..count).map(|_| None).collect();
    while let Some((sets, answers)) = done.next().await {
        for (nth, (index, _)) in sets.into_iter().enumerate() {
            results[index] = Some(match &answers {
                Ok(answers) => number(answers.get(nth)),
                Err(error) => Err(error.clone().into()),
            });
        }
    }
    results.into_iter().map(|result| result.unwrap_or_else(|| number(None))).collect()
}

fn number(answer: Option<&Value>) -> Result<i64, ShapeError> {
    match answer {
        Some(Value::Nil) => Err(ShapeError::Score),
        Some(answer) => Ok(answer.as_int()?),
        // A missing reply is an error.
        None => Ok(Value::Nil.as_int()?),
    }
}

/// Sets that one script may write, with their slot and their indexes.
fn grouped(client: &Client, sets: Vec<Names>, at_most: usize) -> Vec<(u16, Vec<(usize, Names)>)> {
    let is_cluster = client.topology() == Topology::Cluster;
    let mut slots: HashMap<u16, Vec<(usize, Names)>> = HashMap::new();
    let mut full = Vec::new();
    for (index, names) in sets.into_iter().enumerate() {
        // Outside a cluster, one script takes keys of all slots.
        let slot = if is_cluster { Client::slot_of(&names[0]) } else { 0 };
        let group = slots.entry(slot).or_default();
        group.push((index, names));
        if group.len() == at_most {
            full.push((slot, std::mem::take(group)));
        }
    }
    full.extend(slots.into_iter().filter(|(_, group)| !group.is_empty()));
    full
}

async fn run(client: &Client, names: &Names, args: Vec<Arg>) -> Result<Value, Error> {
    client.run(&READ, names, args).await
}

pub(in super::super) async fn count(client: &Client, names: &Names) -> Result<u64, ShapeError> {
    let fields = run(client, names, vec!["HLEN".into(), 2_u32.into()]).await?.as_count()?;
    // One of them is not a member.
    Ok(fields.saturating_sub(1))
}

pub(in super::super) async fn read(
    client: &Client,
    names: &Names,
    read: &SortedRead,
) -> Result<Vec<(Position, String)>, ShapeError> {
    let mut args: Vec<Arg> = Vec::with_capacity(7);
    match read {
        SortedRead::Ranks { direction, offset, limit } => {
            let command = if *direction == Direction::Forward { "ZREVRANGE" } else { "ZRANGE" };
            // From the other end the empty name comes first. Beyond 2^62 there is nothing, and the
            // server parses numbers of 64 bits.
            let skipped = u64::from(*direction == Direction::Backward);
            let first = (*offset).min(1 << 62) + skipped;
            let last = first + (*limit as u64).clamp(1, 1 << 62) - 1;
            args.extend([command.into(), 1_u32.into(), first.into(), last.into()]);
        }
        SortedRead::Positions { direction, range, limit } => {
            let lowest = [b"[".as_slice(), &range.start.bytes()].concat();
            let highest = [b"(".as_slice(), &range.end.bytes()].concat();
            match direction {
                Direction::Forward => {
                    args.extend(["ZREVRANGEBYLEX".into(), 1_u32.into(), highest.into(), lowest.into()]);
                }
                Direction::Backward => {
                    args.extend(["ZRANGEBYLEX".into(), 1_u32.into(), lowest.into(), highest.into()]);
                }
            }
            let limit = (*limit as u64).min(1 << 62);
            args.extend(["LIMIT".into(), 0_u32.into(), limit.into()]);
        }
    }
    members_of(run(client, names, args).await?)
}

pub(in super::super) async fn around(
    client: &Client,
    names: &Names,
    member: &str,
    each_side: u32,
) -> Result<Option<Around>, ShapeError> {
    let found = run(client, names, vec!["around".into(), member.into(), each_side.into()]).await?;
    if found.is_nil() {
        return Ok(None);
    }
    let mut parts = found.into_array()?.into_iter();
    let mut part = || parts.next().unwrap_or(Value::Nil);
    let (rank, first) = (part().as_count()?, part().as_count()?);
    Ok(Some(Around { rank, first, members: members_of(part())? }))
}

fn members_of(names: Value) -> Result<Vec<(Position, String)>, ShapeError> {
    let mut members = Vec::new();
    for name in names.into_array()? {
        let name = name.into_bytes()?;
        // The empty name is not a member.
        if let Some(position) = name.first_chunk() {
            members.push((Position::from_bytes(*position), Value::Bytes(name.slice(16..)).into_text()?));
        }
    }
    Ok(members)
}
