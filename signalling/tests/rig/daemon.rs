//! Servers of others that tests run beside ours.

use std::{
    fs,
    net::{Ipv4Addr, TcpListener},
    path::Path,
    process::{Child, Command},
    time::Duration,
};

use tokio::{
    net::TcpStream,
    time::{sleep, timeout},
};

/// Ends with the test.
pub struct Daemon(Child);

impl Daemon {
    /// What it says goes into a file. `remedy` is what to do when there is no such program.
    pub fn start(command: &mut Command, said: &Path, remedy: &str) -> Self {
        let program = command.get_program().to_owned();
        let said = fs::File::create(said).expect("a file");
        let again = said.try_clone().expect("a file");
        let child = command.stdout(said).stderr(again).spawn();
        Self(child.unwrap_or_else(|error| panic!("{program:?} ({remedy}): {error}")))
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

pub fn free_port(at: Ipv4Addr) -> u16 {
    let socket = TcpListener::bind((at, 0)).expect("a port");
    socket.local_addr().expect("bound").port()
}

/// Waits until somebody listens there; false if nobody does.
pub async fn listens(at: Ipv4Addr, port: u16) -> bool {
    let listens = async {
        while TcpStream::connect((at, port)).await.is_err() {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(Duration::from_secs(30), listens).await.is_ok()
}
