#![allow(clippy::all, missing_docs, clippy::unwrap_used, clippy::print_stdout, clippy::disallowed_methods)]
use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tidegate_queue::*;
use tidegate_redis::{BlockingPool, Client, Config, Keyspace, Role};
use tokio_util::sync::CancellationToken;
#[derive(Serialize, Deserialize)]
struct Noop {
    tenant: String,
    row: usize,
    note: String,
}
impl Job for Noop {
    const KIND: &'static str = "noop";
    const QUEUE: &'static str = "bench";
}
struct Count {
    left: AtomicUsize,
    done: CancellationToken,
}
#[async_trait]
impl Handler<Noop> for Count {
    async fn run(&self, job: Noop, _: &Context) -> Outcome {
        if self.left.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.done.cancel();
        }
        Outcome::done(job.row)
    }
}
async fn calls(client: &Client) -> (u64, u64) {
    let info =
        client.execute(tidegate_redis::Command::new("INFO").arg("commandstats")).await.unwrap().into_text().unwrap();
    let mut all = 0;
    let mut evalsha = 0;
    for line in info.lines() {
        if let Some(rest) = line.strip_prefix("cmdstat_") {
            let (name, rest) = rest.split_once(":calls=").unwrap();
            let n: u64 = rest.split(',').next().unwrap().parse().unwrap();
            if name.starts_with("eval") { evalsha += n } else { all += n }
        }
    }
    (all, evalsha)
}
async fn cpu(client: &Client) -> (f64, f64) {
    let info = client.execute(tidegate_redis::Command::new("INFO").arg("cpu")).await.unwrap().into_text().unwrap();
    let f = |n: &str| info.lines().find_map(|l| l.strip_prefix(n).map(|v| v.trim().parse::<f64>().unwrap())).unwrap();
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let v: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    (f("used_cpu_sys:") + f("used_cpu_user:"), (v[11].parse::<f64>().unwrap() + v[12].parse::<f64>().unwrap()) / 100.0)
}
#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let url = std::env::args().nth(1).unwrap();
    let config = Config::parse(&url).unwrap();
    let client = Client::connect(&config, Role::Durable).await.unwrap();
    let broker: Arc<dyn Broker> = Arc::new(RedisBroker::connect(
        client.clone(),
        BlockingPool::new(&config, Role::Durable, 4),
        Keyspace::new("speed").unwrap(),
        RedisOptions::new(),
    ));
    let producer = Producer::new(broker.clone());
    let flush = || async {
        client.execute(tidegate_redis::Command::new("FLUSHALL")).await.unwrap();
    };
    for batch in [1usize, 10, 100, 1000] {
        flush().await;
        let total = if batch == 1 { 20_000 } else { 200_000 };
        let jobs: Vec<Noop> = (0..batch).map(|row| Noop { tenant: "acme".into(), row, note: "x".repeat(24) }).collect();
        let before = calls(&client).await;
        let c0 = cpu(&client).await;
        let start = Instant::now();
        for _ in 0..total / batch {
            producer.enqueue_all(&jobs).await.unwrap();
        }
        let t = start.elapsed();
        let after = calls(&client).await;
        let c1 = cpu(&client).await;
        print!(
            "[cpu us/job: redis {:.1}, client {:.1}] ",
            (c1.0 - c0.0) * 1e6 / total as f64,
            (c1.1 - c0.1) * 1e6 / total as f64
        );
        println!(
            "enqueue batch {batch}, one producer: {:.0}/s, {:.2} commands a job",
            total as f64 / t.as_secs_f64(),
            (after.0 - before.0) as f64 / total as f64
        );
    }
    // 64 producers at batch 1
    flush().await;
    let start = Instant::now();
    let mut set = tokio::task::JoinSet::new();
    for _ in 0..64 {
        let p = producer.clone();
        set.spawn(async move {
            for row in 0..1_000 {
                p.enqueue(&Noop { tenant: "acme".into(), row, note: "x".repeat(24) }).await.unwrap();
            }
        });
    }
    while set.join_next().await.is_some() {}
    println!("enqueue batch 1, 64 producers: {:.0}/s", 64_000.0 / start.elapsed().as_secs_f64());
    for concurrency in [1usize, 10, 100, 500] {
        for workers in [1usize, 4] {
            if concurrency > 100 && workers > 1 {
                continue;
            }
            flush().await;
            let total = if concurrency == 1 { 10_000 } else { 100_000 };
            let jobs: Vec<Noop> =
                (0..1000).map(|row| Noop { tenant: "acme".into(), row, note: "x".repeat(24) }).collect();
            for _ in 0..total / 1000 {
                producer.enqueue_all(&jobs).await.unwrap();
            }
            let done = CancellationToken::new();
            let count = Arc::new(AtomicUsize::new(total));
            struct Shared(Arc<AtomicUsize>, CancellationToken);
            #[async_trait]
            impl Handler<Noop> for Shared {
                async fn run(&self, job: Noop, _: &Context) -> Outcome {
                    if self.0.fetch_sub(1, Ordering::AcqRel) == 1 {
                        self.1.cancel();
                    }
                    Outcome::done(job.row)
                }
            }
            let before = calls(&client).await;
            let c0 = cpu(&client).await;
            let start = Instant::now();
            let mut set = tokio::task::JoinSet::new();
            for _ in 0..workers {
                let w = Worker::builder(broker.clone())
                    .queue("bench", QueueOptions::new().concurrency(concurrency))
                    .handler::<Noop, _>(Shared(count.clone(), done.clone()))
                    .build()
                    .unwrap();
                set.spawn(w.run(done.clone()));
            }
            while set.join_next().await.is_some() {}
            let t = start.elapsed();
            let after = calls(&client).await;
            let c1 = cpu(&client).await;
            print!(
                "[cpu us/job: redis {:.1}, client {:.1}] ",
                (c1.0 - c0.0) * 1e6 / total as f64,
                (c1.1 - c0.1) * 1e6 / total as f64
            );
            println!(
                "work, {workers} workers of concurrency {concurrency}: {:.0}/s, {:.2} commands and {:.3} scripts a job",
                total as f64 / t.as_secs_f64(),
                (after.0 - before.0) as f64 / total as f64,
                (after.1 - before.1) as f64 / total as f64
            );
        }
    }
    // pick-up latency when idle
    flush().await;
    struct Pick(tokio::sync::mpsc::UnboundedSender<Instant>);
    #[async_trait]
    impl Handler<Noop> for Pick {
        async fn run(&self, _: Noop, _: &Context) -> Outcome {
            self.0.send(Instant::now()).unwrap();
            Outcome::done(1)
        }
    }
    let (tx, mut rx) = tokio::sync::mpsc::unbounded_channel();
    let stop = CancellationToken::new();
    let w = Worker::builder(broker.clone())
        .queue("bench", QueueOptions::new().concurrency(10))
        .handler::<Noop, _>(Pick(tx))
        .build()
        .unwrap();
    let h = tokio::spawn(w.run(stop.clone()));
    let mut all = Vec::new();
    for _ in 0..200 {
        tokio::time::sleep(Duration::from_millis(10)).await;
        let t = Instant::now();
        producer.enqueue(&Noop { tenant: "a".into(), row: 1, note: String::new() }).await.unwrap();
        let got = rx.recv().await.unwrap();
        all.push(got.saturating_duration_since(t));
    }
    all.sort();
    println!("pick-up after idle: median {:?}, p95 {:?}, max {:?}", all[100], all[190], all[199]);
    stop.cancel();
    h.await.unwrap().unwrap();
    // scripts alone, at batch n
    for batch in [1usize, 10, 100, 500] {
        flush().await;
        let total = if batch == 1 { 20_000 } else { 100_000 };
        let jobs: Vec<Noop> = (0..1000).map(|row| Noop { tenant: "acme".into(), row, note: "x".repeat(24) }).collect();
        for _ in 0..=total / 1000 {
            producer.enqueue_all(&jobs).await.unwrap();
        }
        let worker = WorkerId::generate();
        let fetch = || Fetch { worker: worker.clone(), max: batch, lease: Duration::from_secs(60) };
        let (_, mut leased) = broker.ack_and_fetch("bench", vec![], fetch()).await.unwrap();
        let before = calls(&client).await;
        let c0 = cpu(&client).await;
        let start = Instant::now();
        for _ in 0..total / batch {
            let acks = leased.into_iter().map(|j| Ack { token: j.token, result: "null".into() }).collect();
            leased = broker.ack_and_fetch("bench", acks, fetch()).await.unwrap().1;
        }
        let t = start.elapsed();
        let after = calls(&client).await;
        let c1 = cpu(&client).await;
        print!(
            "[cpu us/job: redis {:.1}, client {:.1}] ",
            (c1.0 - c0.0) * 1e6 / total as f64,
            (c1.1 - c0.1) * 1e6 / total as f64
        );
        println!(
            "ack and fetch batch {batch}: {:.0}/s, {:.2} commands a job",
            total as f64 / t.as_secs_f64(),
            (after.0 - before.0) as f64 / total as f64
        );
    }
    // memory
    flush().await;
    let used = |i: String| {
        i.lines().find_map(|l| l.strip_prefix("used_memory:").map(|n| n.trim().parse::<u64>().unwrap())).unwrap()
    };
    let mem = || async {
        used(client.execute(tidegate_redis::Command::new("INFO").arg("memory")).await.unwrap().into_text().unwrap())
    };
    let before = mem().await;
    let jobs: Vec<Noop> = (0..1000).map(|row| Noop { tenant: "acme".into(), row, note: "x".repeat(24) }).collect();
    for _ in 0..100 {
        producer.enqueue_all(&jobs).await.unwrap();
    }
    println!(
        "{} bytes a waiting job of 60 bytes payload ({})",
        (mem().await - before) / 100_000,
        serde_json::to_string(&jobs[0]).unwrap().len()
    );
}
