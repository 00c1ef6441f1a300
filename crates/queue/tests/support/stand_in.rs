use std::time::Duration;
use tidegate_testkit::{Process, Scratch, free_port};
pub struct RedisServer { process: Process, port: u16, _scratch: Scratch }
impl RedisServer {
    pub async fn start() -> Self { Self::start_with(&[]).await }
    pub async fn start_with(args: &[&str]) -> Self {
        let (port, scratch) = (free_port(), Scratch::new());
        let process = Process::builder("redis-server")
            .args(["--port", &port.to_string(), "--save", "", "--appendonly", "yes", "--dir", scratch.path().to_str().unwrap()])
            .args(args)
            .start().unwrap();
        let mut this = Self { process, port, _scratch: scratch };
        this.process.wait_for_line("Ready to accept connections", Duration::from_secs(10)).await.unwrap();
        this
    }
    pub fn url(&self) -> String { format!("redis://127.0.0.1:{}", self.port) }
    pub fn kill9(&mut self) { self.process.kill9().unwrap(); }
    pub async fn stop_signal(&mut self) { self.process.pause().await.unwrap(); }
    pub fn continue_signal(&mut self) { self.process.resume().unwrap(); }
    pub async fn restart(&mut self) { self.process.restart().unwrap(); self.process.wait_for_line("Ready to accept connections", Duration::from_secs(10)).await.unwrap(); }
    #[allow(dead_code)]
    pub async fn cli(&self, args: &[&str]) -> String {
        let out = std::process::Command::new("redis-cli").args(["-p", &self.port.to_string()]).args(args).output().unwrap();
        String::from_utf8(out.stdout).unwrap().trim().to_owned()
    }
}
