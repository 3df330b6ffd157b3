//! A connection for an operator's command: it waits for answers, and asks for whatever names it wants.

use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{Cmd, FromRedisValue};

use crate::connect::Clients;
use crate::{Error, Options};

/// How long connecting and each answer may take; commands that walk many names take a while.
const PATIENCE: Duration = Duration::from_secs(10);

/// A connection, to the first Redis of several that answers.
#[derive(Debug)]
pub struct Direct {
    /// Those that it may be.
    addresses: String,
    connection: MultiplexedConnection,
}

/// Why Redis could not be asked.
#[derive(Debug, thiserror::Error)]
pub enum Unanswered {
    /// Addresses or certificates that can never do.
    #[error(transparent)]
    Options(#[from] Error),
    /// It cannot be reached, the connection broke, or it refused the command.
    #[error("Redis at {addresses}, {command}: {source}")]
    Redis {
        /// `host:port` of all that were tried.
        addresses: String,
        /// The command's name.
        command: String,
        /// Why.
        source: redis::RedisError,
    },
}

impl Direct {
    /// Connects, and shows who asks. How long that may take is not a matter of `options`.
    ///
    /// # Errors
    /// None can be reached, or takes us.
    pub async fn connect(options: &Options) -> Result<Direct, Unanswered> {
        let (clients, addresses) = (Clients::patient(options, PATIENCE)?, options.addresses.join(", "));
        match clients.connect().await {
            Ok(connection) => Ok(Direct { addresses, connection }),
            Err(source) => Err(Unanswered::Redis { addresses, command: "connecting".to_owned(), source }),
        }
    }

    /// Sends a command and waits for its answer.
    ///
    /// # Errors
    /// The connection broke, no answer came in time, the command was refused, or the answer is of another kind.
    pub async fn ask<T: FromRedisValue>(&mut self, command: &[&str]) -> Result<T, Unanswered> {
        let mut sent = Cmd::new();
        sent.arg(command);
        let answer = sent.query_async(&mut self.connection).await;
        answer.map_err(|source| Unanswered::Redis {
            addresses: self.addresses.clone(),
            command: command.first().copied().unwrap_or_default().to_owned(),
            source,
        })
    }

    /// Everything that a command of the SCAN family goes through, where it is text; `command` is what stands before
    /// the cursor.
    ///
    /// # Errors
    /// As [`Direct::ask`].
    pub async fn scan(&mut self, command: &[&str], options: &[&str]) -> Result<Vec<String>, Unanswered> {
        let (mut cursor, mut found) = ("0".to_owned(), Vec::new());
        loop {
            let whole: Vec<&str> = [command, &[&cursor], options].concat();
            let (next, names): (String, Vec<Vec<u8>>) = self.ask(&whole).await?;
            found.extend(names.into_iter().filter_map(|name| String::from_utf8(name).ok()));
            if next == "0" {
                break;
            }
            cursor = next;
        }
        // A name may be answered twice.
        found.sort();
        found.dedup();
        Ok(found)
    }
}
