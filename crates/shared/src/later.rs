//! What need not be done before somebody is answered: in a queue that is bounded by commands and by bytes, dropped where
//! that is full.

use std::sync::Arc;
use std::time::Duration;

use redis::Cmd;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use crate::breaker::Breaker;
use crate::milliseconds;

/// Commands that wait at most.
const QUEUE: usize = 256;
/// Bytes that wait in them at most.
const BYTES: usize = 4 * 1024 * 1024;
/// The time of one of them.
const EACH: Duration = Duration::from_millis(100);

/// A command, and its share of the bytes that may wait.
type Waiting = (Cmd, OwnedSemaphorePermit);

#[derive(Clone)]
pub(crate) struct Later {
    sender: mpsc::Sender<Waiting>,
    bytes: Arc<Semaphore>,
    breaker: Arc<Breaker>,
}

impl Later {
    pub(crate) fn start(breaker: Arc<Breaker>) -> Later {
        let (sender, mut receiver) = mpsc::channel::<Waiting>(QUEUE);
        let asked = breaker.clone();
        tokio::spawn(async move {
            while let Some((command, _share)) = receiver.recv().await {
                let _: Option<()> = asked.ask(&command, EACH).await;
            }
        });
        Later { sender, bytes: Arc::new(Semaphore::new(BYTES)), breaker }
    }

    /// Sends a command of about so many bytes. Where there is no room for it, it is not even made: Redis is slow then,
    /// and what it does not learn is asked elsewhere.
    fn send(&self, bytes: usize, command: impl FnOnce(&mut Cmd)) {
        if self.breaker.bypassed().is_some() {
            return;
        }
        let Ok(place) = self.sender.try_reserve() else { return };
        let Ok(bytes) = u32::try_from(bytes) else { return };
        let Ok(share) = self.bytes.clone().try_acquire_many_owned(bytes) else { return };
        let mut made = Cmd::new();
        command(&mut made);
        place.send((made, share));
    }

    pub(crate) fn set(&self, name: String, bytes: &[u8], life: Duration) {
        self.send(name.len() + bytes.len(), |command| {
            command.arg("SET").arg(name).arg(bytes).arg("PX").arg(milliseconds(life));
        });
    }

    pub(crate) fn delete(&self, name: String) {
        self.send(name.len(), |command| {
            command.arg("UNLINK").arg(name);
        });
    }

    pub(crate) fn run(&self, script: &str, name: String, argument: String) {
        self.send(script.len() + name.len() + argument.len(), |command| {
            command.arg("EVAL").arg(script).arg(1).arg(name).arg(argument);
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Options, connect};

    /// A Redis that answers a PING and then nothing.
    async fn hanging() -> String {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        tokio::spawn(async move {
            let mut open = Vec::new();
            while let Ok((mut socket, _)) = listener.accept().await {
                let mut buffer = [0; 1_000];
                let _ = socket.read(&mut buffer).await.unwrap();
                socket.write_all(b"+PONG\r\n").await.unwrap();
                open.push(socket);
            }
        });
        address
    }

    #[tokio::test]
    async fn what_waits_is_bounded_by_its_bytes() {
        let options = Options {
            addresses: vec![hanging().await],
            user: None,
            password: None,
            database: 0,
            tls: None,
            connect: Duration::from_secs(1),
            answer: Duration::from_millis(100),
        };
        let breaker = Breaker::start(connect::Clients::new(&options).unwrap(), options.answer);
        while breaker.bypassed().is_some() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let later = Later::start(breaker);
        let manifest = vec![1; 256 * 1024];
        // Nothing of it is sent before this task waits.
        (0..100).for_each(|number| later.set(number.to_string(), &manifest, Duration::from_secs(1)));
        let waiting = QUEUE - later.sender.capacity();
        assert_eq!(waiting, BYTES / manifest.len() - 1, "names take bytes too");
        (0..1_000).for_each(|number| later.delete(number.to_string()));
        assert_eq!(later.sender.capacity(), 0, "short ones wait beside them, up to the count");
    }
}
