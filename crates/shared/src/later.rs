//! What need not be done before somebody is answered: in a bounded queue, dropped where that is full.

use std::sync::Arc;
use std::time::Duration;

use redis::Cmd;
use tokio::sync::mpsc;

use crate::breaker::Breaker;
use crate::milliseconds;

/// Commands that wait at most.
const QUEUE: usize = 256;
/// The time of one of them.
const EACH: Duration = Duration::from_millis(100);

#[derive(Clone)]
pub(crate) struct Later {
    sender: mpsc::Sender<Cmd>,
    breaker: Arc<Breaker>,
}

impl Later {
    pub(crate) fn start(breaker: Arc<Breaker>) -> Later {
        let (sender, mut receiver) = mpsc::channel::<Cmd>(QUEUE);
        let asked = breaker.clone();
        tokio::spawn(async move {
            while let Some(command) = receiver.recv().await {
                let _: Option<()> = asked.ask(&command, EACH).await;
            }
        });
        Later { sender, breaker }
    }

    fn send(&self, command: Cmd) {
        if self.breaker.bypassed().is_none() {
            // Where the queue is full Redis is slow: what it does not learn is asked elsewhere.
            let _ = self.sender.try_send(command);
        }
    }

    pub(crate) fn set(&self, name: String, bytes: &[u8], life: Duration) {
        let mut command = Cmd::new();
        command.arg("SET").arg(name).arg(bytes).arg("PX").arg(milliseconds(life));
        self.send(command);
    }

    pub(crate) fn delete(&self, name: String) {
        let mut command = Cmd::new();
        command.arg("UNLINK").arg(name);
        self.send(command);
    }

    pub(crate) fn run(&self, script: &str, name: String, argument: String) {
        let mut command = Cmd::new();
        command.arg("EVAL").arg(script).arg(1).arg(name).arg(argument);
        self.send(command);
    }
}
