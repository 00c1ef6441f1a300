//! `tidegate-queue` on Redis, with its defaults.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tidegate_queue::{
    Broker, Context, EnqueueOptions, Handler, Job, Outcome, Producer, QueueOptions, RedisBroker, RedisOptions,
    Timestamp, Worker,
};
use tidegate_redis::{BlockingPool, Client, Config, Keyspace, Role};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::peer::{KIND, Noop, OnStart, Peer, QUEUE, Working};

impl Job for Noop {
    const KIND: &'static str = KIND;
    const QUEUE: &'static str = QUEUE;
}

pub(crate) struct Ours {
    broker: Arc<dyn Broker>,
    producer: Producer,
}

impl Ours {
    pub(crate) async fn open(url: &str) -> Self {
        let config = Config::parse(url).expect("a URL");
        let client = Client::connect(&config, Role::Durable).await.expect("connected");
        let pool = BlockingPool::new(&config, Role::Durable, 1);
        let keyspace = Keyspace::new("bench").expect("a prefix");
        let broker: Arc<dyn Broker> = Arc::new(RedisBroker::connect(client, pool, keyspace, RedisOptions::new()));
        Self { producer: Producer::new(Arc::clone(&broker)), broker }
    }
}

#[async_trait]
impl Peer for Ours {
    async fn enqueue_bulk(&self, jobs: &[Noop]) {
        self.producer.enqueue_all(jobs).await.expect("enqueued");
    }

    async fn enqueue(&self, job: &Noop) {
        self.producer.enqueue(job).await.expect("enqueued");
    }

    async fn enqueue_at(&self, job: &Noop, due: Duration) {
        let due = Timestamp::from_unix_ms(i64::try_from(due.as_millis()).expect("a time"));
        self.producer.enqueue_with(job, EnqueueOptions::new().run_at(due)).await.expect("enqueued");
    }

    async fn work(&self, concurrency: usize, on_start: OnStart) -> Box<dyn Working> {
        let worker = Worker::builder(Arc::clone(&self.broker))
            .queue(QUEUE, QueueOptions::new().concurrency(concurrency))
            .handler::<Noop, _>(Started(on_start))
            .build()
            .expect("a good worker");
        let shutdown = CancellationToken::new();
        let token = shutdown.clone();
        let run = tokio::spawn(async move {
            worker.run(token).await.expect("the worker started");
        });
        Box::new(Running { shutdown, run })
    }

    async fn left(&self, _: usize) -> usize {
        let counts = self.broker.counts(QUEUE).await.expect("counted");
        usize::try_from(counts.ready + counts.delayed + counts.leased).expect("a number")
    }
}

struct Started(OnStart);

#[async_trait]
impl Handler<Noop> for Started {
    async fn run(&self, job: Noop, _: &Context) -> Outcome {
        (self.0)(job.number);
        Outcome::done(())
    }
}

struct Running {
    shutdown: CancellationToken,
    run: JoinHandle<()>,
}

#[async_trait]
impl Working for Running {
    async fn stop(self: Box<Self>) {
        self.shutdown.cancel();
        self.run.await.expect("the worker ended");
    }
}
