use tidegate_testkit::{Process, Scratch, free_port, poll_until};

use super::LONG;

pub struct RedisServer {
    process: Process,
    port: u16,
    _scratch: Scratch,
}

impl RedisServer {
    pub async fn start() -> Self {
        Self::start_with(&["--appendonly", "yes"]).await
    }

    pub async fn start_with(args: &[&str]) -> Self {
        Self::start_on(free_port(), args).await
    }

    pub async fn start_on(port: u16, args: &[&str]) -> Self {
        let server = Self::spawn(port, args);
        server.wait().await;
        server
    }

    pub fn spawn(port: u16, args: &[&str]) -> Self {
        let scratch = Scratch::new();
        let port_text = port.to_string();
        let process = Process::builder("redis-server")
            .args(["--port", &port_text, "--bind", "127.0.0.1", "--save", ""])
            .args(["--dir", scratch.path().to_str().unwrap()])
            .args(args)
            .start()
            .expect("redis-server is needed: apt-get install redis-server");
        Self { process, port, _scratch: scratch }
    }

    pub async fn wait(&self) {
        poll_until(LONG, async || {
            let answer = redis_cli(self.port, &["PING"]).await;
            (answer.contains("PONG") || answer.contains("NOAUTH")).then_some(())
        })
        .await
        .unwrap();
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    pub async fn cli(&self, args: &[&str]) -> String {
        redis_cli(self.port, args).await
    }

    pub fn kill9(&mut self) {
        self.process.kill9().unwrap();
    }

    pub async fn hang(&mut self) {
        self.process.pause().await.unwrap();
    }

    pub fn resume(&mut self) {
        self.process.resume().unwrap();
    }

    pub async fn restart(&mut self) {
        self.process.restart().unwrap();
        self.wait().await;
    }
}

pub async fn redis_cli(port: u16, args: &[&str]) -> String {
    let port = port.to_string();
    let mut all = vec!["-h", "127.0.0.1", "-p", port.as_str()];
    all.extend(args);
    let args: Vec<String> = all.into_iter().map(str::to_owned).collect();
    let run = move || std::process::Command::new("redis-cli").args(args).output().expect("redis-cli runs");
    let output = tokio::task::spawn_blocking(run).await.unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    text.trim().to_owned()
}
