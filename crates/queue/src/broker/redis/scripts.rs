//! The scripts: one for each step, with the keys that it touches.

use tidegate_redis::{Arg, Client, ClockPrelude, Error, Script, Value};

use super::keys::{Part, PartitionKeys};
use Part::{
    Back, Cancelled, Dead, Delayed, Done, Job, Latest, Lease, Meta, Ready0, Ready1, Ready2, Ready3, Ready4,
    Result as Results, State, Tomb, Wake,
};

/// How the keys are laid out. Processes that disagree refuse to touch each other's queues.
const LAYOUT: u32 = 1;
/// Raised with each change of a script; noted with the queue, for whoever looks into one.
const SCRIPTS: u32 = 1;

/// A script of one partition and what it touches there.
pub(super) struct Step {
    script: Script,
    parts: Vec<Part>,
}

impl Step {
    pub(super) async fn run(&self, client: &Client, keys: &PartitionKeys, args: Vec<Arg>) -> Result<Value, Error> {
        let keys: Vec<&str> = self.parts.iter().map(|part| keys.get(*part)).collect();
        client.run(&self.script, &keys, args).await
    }

    /// Runs it with one more key: the set that it is to read.
    pub(super) async fn run_on_set(
        &self,
        client: &Client,
        keys: &PartitionKeys,
        set: Part,
        args: Vec<Arg>,
    ) -> Result<Value, Error> {
        let named: Vec<&str> = self.parts.iter().chain([&set]).map(|part| keys.get(*part)).collect();
        client.run(&self.script, &named, args).await
    }
}

/// All scripts.
pub(super) struct Scripts {
    pub(super) enqueue: Step,
    pub(super) ack_and_fetch: Step,
    pub(super) nack: Step,
    pub(super) heartbeat: Step,
    pub(super) progress: Step,
    pub(super) promote: Step,
    pub(super) reclaim: Step,
    pub(super) remove: Step,
    pub(super) change: Step,
    pub(super) pause: Step,
    pub(super) look: Step,
    pub(super) counts: Step,
    pub(super) job: Step,
    pub(super) list: Step,
    pub(super) list_ready: Step,
    pub(super) announce: Script,
    pub(super) workers: Script,
}

const READY: [Part; 5] = [Ready0, Ready1, Ready2, Ready3, Ready4];

impl Scripts {
    pub(super) fn new(clock: &ClockPrelude) -> Self {
        let script = |name, keys: &[String], body: &str| {
            let named: Vec<_> = keys.iter().zip(1..).map(|(key, nth)| format!("{key} = KEYS[{nth}]")).collect();
            let names = format!(
                "local LAYOUT, SCRIPTS = '{LAYOUT}', '{SCRIPTS}'\nlocal K = {{ {} }}\n{}\n{body}",
                named.join(", "),
                include_str!("lua/common.lua")
            );
            Script::timed(name, &names, clock)
        };
        let step = |name, body: &str, parts: &[Part], ready: &[Part]| {
            let parts: Vec<Part> = parts.iter().chain(ready).copied().collect();
            let mut keys: Vec<String> = parts.iter().map(|part| part.in_script()).collect();
            if name == "list" {
                keys.push("set".to_owned());
            }
            Step { script: script(name, &keys, body), parts }
        };
        // A repetition is the same as once: a known id stays as it is, a settled lease is answered as settled before.
        let repeatable = |name, body: &str, parts: &[Part], ready: &[Part]| {
            let Step { script, parts } = step(name, body, parts, ready);
            Step { script: script.idempotent(), parts }
        };
        let show = |body| format!("{}\n{body}", include_str!("lua/show.lua"));
        let registry = ["workers".to_owned(), "seen".to_owned()];
        Self {
            enqueue: repeatable("enqueue", include_str!("lua/enqueue.lua"), &[Meta, Job, Delayed, Wake], &READY),
            ack_and_fetch: step(
                "ack_and_fetch",
                include_str!("lua/ack_and_fetch.lua"),
                &[Meta, Lease, Latest, Job, State, Done, Results, Back, Tomb, Wake],
                &READY,
            ),
            nack: repeatable(
                "nack",
                include_str!("lua/nack.lua"),
                &[Meta, Lease, Latest, Job, State, Back, Delayed, Dead, Cancelled, Wake],
                &[],
            ),
            heartbeat: repeatable("heartbeat", include_str!("lua/heartbeat.lua"), &[Lease, State], &[]),
            progress: repeatable("progress", include_str!("lua/progress.lua"), &[Lease, State], &[]),
            promote: repeatable("promote", include_str!("lua/promote.lua"), &[Meta, Delayed, Back, Wake], &[]),
            reclaim: repeatable(
                "reclaim",
                include_str!("lua/reclaim.lua"),
                &[Meta, Lease, Latest, Job, State, Back, Delayed, Dead, Cancelled, Wake],
                &[],
            ),
            remove: step(
                "remove",
                include_str!("lua/remove.lua"),
                &[Job, Latest, State, Results, Done, Dead, Cancelled],
                &[],
            ),
            change: step(
                "change",
                include_str!("lua/change.lua"),
                &[Meta, Job, Latest, State, Lease, Back, Tomb, Delayed, Done, Dead, Cancelled, Wake],
                &READY,
            ),
            pause: repeatable("pause", include_str!("lua/pause.lua"), &[Meta, Back, Wake], &READY),
            look: repeatable("look", include_str!("lua/look.lua"), &[Meta, Back, Tomb, Delayed, Wake], &READY),
            counts: repeatable(
                "counts",
                include_str!("lua/counts.lua"),
                &[Meta, Job, Lease, Back, Tomb, Delayed, Done, Dead, Cancelled],
                &READY,
            ),
            job: repeatable(
                "job",
                &show(include_str!("lua/job.lua")),
                &[Job, Latest, State, Lease, Back, Delayed, Done, Dead, Cancelled, Results],
                &[],
            ),
            list: repeatable("list", &show(include_str!("lua/list.lua")), &[Job, Latest, State, Results], &[]),
            list_ready: repeatable(
                "list_ready",
                &show(include_str!("lua/list_ready.lua")),
                &[Job, Latest, State, Results, Back, Tomb],
                &READY,
            ),
            announce: script("announce", &registry, include_str!("lua/announce.lua")).idempotent(),
            workers: script("workers", &registry, include_str!("lua/workers.lua")).idempotent(),
        }
    }
}
