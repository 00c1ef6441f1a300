//! The scripts: one for each step, with the keys it uses.

use std::fmt::Write as _;

use tidegate_redis::{Arg, Client, ClockPrelude, Command, Error, Script, Value};

use super::keys::{Part, PartitionKeys};
use Part::{
    Back, Behind, Cancelled, Checkpoint, Dead, Delayed, Done, Ended, Events, Groups, Held, Job, Latest, Lease, Lines,
    Log, Meta, Ready0, Ready1, Ready2, Ready3, Ready4, Result as Results, State, Tomb, Unique, Waiting, Wake,
};

/// Version of the key layout. Processes with different versions refuse each other's queues.
const LAYOUT: u32 = 2;
/// Version of the scripts, raised with each change of a script. Stored with the queue for
/// diagnosis.
const SCRIPTS: u32 = 8;

/// A script of one partition and the keys it uses.
pub(super) struct Step {
    script: Script,
    /// For a server that has reached `maxmemory`: does not store results, events and long errors,
    /// and counts them.
    when_full: Option<Script>,
    parts: Vec<Part>,
}

impl Step {
    pub(super) async fn run(&self, client: &Client, keys: &PartitionKeys, args: Vec<Arg>) -> Result<Value, Error> {
        self.send(client, keys, None, args).await
    }

    /// Runs the script. If a full server refuses it, runs the script for full servers with the same
    /// arguments.
    pub(super) async fn run_even_full(
        &self,
        client: &Client,
        keys: &PartitionKeys,
        mut args: impl FnMut() -> Vec<Arg>,
    ) -> Result<Value, Error> {
        match (self.send(client, keys, None, args()).await, &self.when_full) {
            (Err(error), Some(script)) if error.code() == Some("OOM") => {
                let (count, all) = self.request(keys, None, args());
                client.run_in(keys.slot(), script, count, all).await
            }
            (answer, _) => answer,
        }
    }

    /// Runs the script with one more key: the set or list that it uses.
    pub(super) async fn run_on(
        &self,
        client: &Client,
        keys: &PartitionKeys,
        one: Part,
        args: Vec<Arg>,
    ) -> Result<Value, Error> {
        self.send(client, keys, Some(one), args).await
    }

    async fn send(
        &self,
        client: &Client,
        keys: &PartitionKeys,
        one: Option<Part>,
        args: Vec<Arg>,
    ) -> Result<Value, Error> {
        let (count, all) = self.request(keys, one, args);
        client.run_in(keys.slot(), &self.script, count, all).await
    }

    /// Runs the script, optionally with one more key, and another command directly after it.
    /// Returns both answers.
    pub(super) async fn run_then(
        &self,
        client: &Client,
        keys: &PartitionKeys,
        one: Option<Part>,
        args: Vec<Arg>,
        then: Command,
    ) -> Result<(Value, Value), Error> {
        let (count, all) = self.request(keys, one, args);
        client.run_then(keys.slot(), &self.script, count, all, then).await
    }

    /// The number of keys, and the keys followed by the arguments.
    fn request(&self, keys: &PartitionKeys, one: Option<Part>, args: Vec<Arg>) -> (usize, Vec<Arg>) {
        let count = self.parts.len() + usize::from(one.is_some());
        let mut all = Vec::with_capacity(count + args.len());
        all.extend(self.parts.iter().copied().chain(one).map(|part| keys.arg(part)));
        all.extend(args);
        (count, all)
    }
}

/// All scripts.
pub(super) struct Scripts {
    pub(super) enqueue: Step,
    pub(super) enqueue_any: Step,
    pub(super) enqueue_linked: Step,
    pub(super) ack_and_fetch: Step,
    pub(super) nack: Step,
    pub(super) heartbeat: Step,
    pub(super) progress: Step,
    pub(super) checkpoint: Step,
    pub(super) log: Step,
    pub(super) logs: Step,
    pub(super) configure: Step,
    pub(super) drain: Step,
    pub(super) retry_dead: Step,
    pub(super) promote: Step,
    pub(super) reclaim: Step,
    pub(super) remove: Step,
    pub(super) remove_some: Step,
    pub(super) audit: Step,
    pub(super) listed: Step,
    pub(super) recover: Step,
    pub(super) orphans: Step,
    pub(super) change: Step,
    pub(super) pause: Step,
    pub(super) look: Step,
    pub(super) counts: Step,
    pub(super) job: Step,
    pub(super) list: Step,
    pub(super) list_done: Step,
    pub(super) list_leased: Step,
    pub(super) list_ready: Step,
    pub(super) announce: Script,
    pub(super) workers: Script,
    pub(super) put_document: Script,
    pub(super) now: Script,
}

const READY: [Part; 5] = [Ready0, Ready1, Ready2, Ready3, Ready4];
/// Keys that the end of a job may use, besides those of the job.
const LINKS: [Part; 6] = [Lines, Behind, Waiting, Unique, Groups, Events];
/// Keys that a change of a job that is not leased may use.
const CHANGED: [Part; 13] = [Meta, Job, Latest, State, Lease, Ended, Back, Tomb, Delayed, Dead, Cancelled, Wake, Held];

/// Lua code that defines the table `K` of the keys.
fn names(keys: &[String]) -> String {
    let named: Vec<_> = keys.iter().zip(1..).map(|(key, nth)| format!("{key} = KEYS[{nth}]")).collect();
    format!("local K = {{ {} }}\n{}\n", named.join(", "), include_str!("lua/common.lua"))
}

/// Lua code that defines each key as a local variable in capitals. This costs less than a table,
/// for the most frequent scripts.
fn bare_names(keys: &[String]) -> String {
    keys.iter().zip(1..).fold(String::new(), |mut lines, (key, nth)| {
        // Writing to a string can't fail.
        let _ = writeln!(lines, "local {} = KEYS[{nth}]", key.to_uppercase());
        lines
    })
}

fn version(is_full: bool) -> String {
    format!("local LAYOUT, SCRIPTS, FULL = '{LAYOUT}', '{SCRIPTS}', {is_full}\n")
}

impl Scripts {
    pub(super) fn new(clock: &ClockPrelude) -> Self {
        let script_if = |is_full, name, keys: &[String], body: &str| {
            Script::timed(name, &format!("{}{}{body}", version(is_full), names(keys)), clock)
        };
        let script = |name, keys: &[String], body: &str| script_if(false, name, keys, body);
        let step = |name, body: &str, parts: &[Part], ready: &[Part]| {
            let parts: Vec<Part> = parts.iter().chain(ready).copied().collect();
            let mut keys: Vec<String> = parts.iter().map(|part| part.in_script()).collect();
            match name {
                "list" => keys.push("set".to_owned()),
                "listed" => keys.push("list".to_owned()),
                _ => {}
            }
            Step { script: script(name, &keys, body), when_full: None, parts }
        };
        // Repeating it has no further effect: a known id is left unchanged, a settled lease is
        // answered as settled before.
        let repeatable = |name, body: &str, parts: &[Part], ready: &[Part]| {
            let Step { script, parts, .. } = step(name, body, parts, ready);
            Step { script: script.idempotent(), when_full: None, parts }
        };
        // Steps that free memory or move existing data run on a full server too. What they add is
        // limited by the number of existing jobs.
        let freeing = |step: Step| Step { script: step.script.allow_oom(), ..step };
        // Steps that would add more store less on a full server.
        let shrinking = |name, body: &str, parts: &[Part], ready: &[Part]| {
            let Step { script, parts, .. } = repeatable(name, body, parts, ready);
            let keys: Vec<String> = parts.iter().map(|part| part.in_script()).collect();
            let when_full = Some(script_if(true, name, &keys, body).idempotent().allow_oom());
            Step { script, when_full, parts }
        };
        // Steps that change an existing queue, but don't check its layout themselves.
        let checked = |body: &str| [include_str!("lua/checked.lua"), body].concat();
        let ends = |body: &str| [include_str!("lua/ends.lua"), body].concat();
        let scanning = |body: &str| ends(&[include_str!("lua/scan.lua"), body].concat());
        let audited = |body: &str| scanning(&[include_str!("lua/list_of.lua"), body].concat());
        let show = |body: &str| [include_str!("lua/places.lua"), include_str!("lua/show.lua"), body].concat();
        let changing = |body: &str| {
            let before =
                [include_str!("lua/places.lua"), include_str!("lua/leave.lua"), include_str!("lua/revive.lua")];
            ends(&[before.concat().as_str(), body].concat())
        };
        let changed = [&CHANGED[..], &LINKS].concat();
        let registry = ["workers".to_owned()];
        Self {
            enqueue: enqueue(clock),
            enqueue_any: repeatable(
                "enqueue_any",
                include_str!("lua/enqueue_any.lua"),
                &[Meta, Job, Back, Tomb, Delayed, Wake, Events],
                &READY,
            ),
            enqueue_linked: repeatable(
                "enqueue_linked",
                &changing(include_str!("lua/enqueue_linked.lua")),
                &changed,
                &READY,
            ),
            ack_and_fetch: ack_and_fetch(clock),
            nack: shrinking(
                "nack",
                &checked(&ends(include_str!("lua/nack.lua"))),
                &[&[Meta, Lease, Ended, Latest, Job, State, Back, Delayed, Dead, Cancelled, Wake], &LINKS[..]].concat(),
                &READY,
            ),
            heartbeat: freeing(repeatable("heartbeat", include_str!("lua/heartbeat.lua"), &[Lease, State], &[])),
            progress: shrinking("progress", include_str!("lua/progress.lua"), &[Meta, Lease, State, Events], &[]),
            // On a full server, an acknowledgement removes the checkpoint.
            checkpoint: shrinking("checkpoint", include_str!("lua/checkpoint.lua"), &[Meta, Lease, Checkpoint], &[]),
            log: Step {
                when_full: shrinking("log", include_str!("lua/log.lua"), &[Meta, Lease, Log], &[]).when_full,
                ..step("log", include_str!("lua/log.lua"), &[Meta, Lease, Log], &[])
            },
            logs: repeatable("logs", include_str!("lua/logs.lua"), &[Log], &[]),
            promote: freeing(repeatable(
                "promote",
                &checked(include_str!("lua/promote.lua")),
                &[Meta, Delayed, Back, Wake],
                &[],
            )),
            reclaim: freeing(repeatable(
                "reclaim",
                &ends(include_str!("lua/reclaim.lua")),
                &[&[Meta, Lease, Ended, Latest, Job, State, Back, Delayed, Dead, Cancelled, Wake], &LINKS[..]].concat(),
                &READY,
            )),
            remove: freeing(step(
                "remove",
                &checked(include_str!("lua/remove.lua")),
                &[Meta, Job, Latest, State, Results, Checkpoint, Log, Done, Ended, Dead, Cancelled, Unique, Held],
                &[],
            )),
            remove_some: freeing(step(
                "remove_some",
                &checked(&[include_str!("lua/places.lua"), include_str!("lua/remove_some.lua")].concat()),
                &[
                    Meta, Job, Latest, State, Results, Checkpoint, Log, Done, Ended, Dead, Cancelled, Lease, Back,
                    Delayed, Waiting,
                ],
                &[],
            )),
            audit: freeing(repeatable("audit", &checked(&audited(include_str!("lua/audit.lua"))), &changed, &READY)),
            listed: freeing(repeatable("listed", &checked(include_str!("lua/listed.lua")), &[Meta], &[])),
            recover: freeing(repeatable(
                "recover",
                &checked(&audited(include_str!("lua/recover.lua"))),
                &[&changed[..], &[Done]].concat(),
                &READY,
            )),
            orphans: freeing(repeatable(
                "orphans",
                &checked(&scanning(include_str!("lua/orphans.lua"))),
                &[&changed[..], &[Results, Checkpoint, Log]].concat(),
                &READY,
            )),
            change: freeing(step("change", &checked(&changing(include_str!("lua/change.lua"))), &changed, &READY)),
            drain: freeing(step(
                "drain",
                &checked(&changing(&[include_str!("lua/next_in_line.lua"), include_str!("lua/drain.lua")].concat())),
                &changed,
                &READY,
            )),
            retry_dead: freeing(step(
                "retry_dead",
                &checked(&changing(include_str!("lua/retry_dead.lua"))),
                &changed,
                &READY,
            )),
            pause: freeing(repeatable("pause", &checked(include_str!("lua/pause.lua")), &[Meta, Back, Wake], &READY)),
            configure: freeing(repeatable(
                "configure",
                &checked(include_str!("lua/configure.lua")),
                &[Meta, Wake, Back],
                &READY,
            )),
            look: freeing(repeatable(
                "look",
                include_str!("lua/look.lua"),
                &[Meta, Lease, Back, Delayed, Wake],
                &READY,
            )),
            counts: repeatable(
                "counts",
                include_str!("lua/counts.lua"),
                &[Meta, Job, Lease, Back, Tomb, Delayed, Waiting, Ended, Dead, Cancelled],
                &READY,
            ),
            job: repeatable(
                "job",
                &show(include_str!("lua/job.lua")),
                &[Job, Latest, State, Lease, Back, Delayed, Waiting, Ended, Dead, Cancelled, Results, Checkpoint],
                &[],
            ),
            list: repeatable(
                "list",
                &show(include_str!("lua/list.lua")),
                &[Job, Latest, State, Results, Checkpoint],
                &[],
            ),
            list_done: repeatable(
                "list_done",
                &show(include_str!("lua/list_done.lua")),
                &[Job, Latest, State, Results, Checkpoint, Done, Ended],
                &[],
            ),
            list_leased: repeatable(
                "list_leased",
                &show(include_str!("lua/list_leased.lua")),
                &[Job, Latest, State, Results, Checkpoint, Lease],
                &[],
            ),
            list_ready: repeatable(
                "list_ready",
                &show(include_str!("lua/list_ready.lua")),
                &[Job, Latest, State, Results, Checkpoint, Back, Tomb],
                &READY,
            ),
            announce: script("announce", &registry, include_str!("lua/announce.lua")).idempotent().allow_oom(),
            workers: script("workers", &registry, include_str!("lua/workers.lua")).idempotent(),
            put_document: script(
                "put_document",
                &["collection".to_owned(), "revision".to_owned()],
                include_str!("lua/put_document.lua"),
            ),
            now: script("now", &["names".to_owned()], include_str!("lua/now.lua")).idempotent(),
        }
    }
}

/// Its last key is the list of the jobs' priority.
fn enqueue(clock: &ClockPrelude) -> Step {
    let body = format!("{}{}", version(false), include_str!("lua/enqueue.lua"));
    Step {
        script: Script::timed("enqueue", &body, clock).idempotent(),
        when_full: None,
        parts: vec![Meta, Job, Wake, Tomb, Back, Events],
    }
}

/// In two parts: the usual case runs before the helper functions of the other cases are created.
fn ack_and_fetch(clock: &ClockPrelude) -> Step {
    let parts = [
        &[Meta, Lease, Job, Done, Ended, Results, Wake, Back, Tomb, Latest, State, Checkpoint, Log, Delayed][..],
        &[Dead, Cancelled],
        &LINKS,
        &READY,
    ]
    .concat();
    let keys: Vec<String> = parts.iter().map(|part| part.in_script()).collect();
    let body = [
        bare_names(&keys).as_str(),
        include_str!("lua/ack_and_fetch_plain.lua"),
        &names(&keys),
        include_str!("lua/ends.lua"),
        include_str!("lua/next_in_line.lua"),
        include_str!("lua/ack_and_fetch.lua"),
    ]
    .concat();
    let script = |is_full| Script::timed("ack_and_fetch", &[version(is_full).as_str(), body.as_str()].concat(), clock);
    Step { script: script(false), when_full: Some(script(true).allow_oom()), parts }
}
