//! A small client of Redis: one connection, one command at a time (RESP2).
//!
//! Source: <https://redis.io/docs/latest/develop/reference/protocol-spec/>.

use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// How long one answer may take; commands that walk many keys take a while.
const PATIENCE: Duration = Duration::from_secs(10);
/// The longest answer that is taken, in bytes or elements.
const LARGEST: usize = 16 * 1024 * 1024;

/// Where Redis is and who asks.
#[derive(Clone)]
pub struct Address {
    /// `host:port`.
    pub address: String,
    /// User of an access list; none: the default user.
    pub user: Option<String>,
    /// Password, if it asks for one.
    pub password: Option<String>,
    /// Number of the database.
    pub database: u32,
}

impl std::fmt::Debug for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Address({}/{})", self.address, self.database)
    }
}

/// Why Redis could not be asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It cannot be reached, or the connection broke.
    #[error("Redis at {address}: {source}")]
    Io {
        /// `host:port`.
        address: String,
        /// Why.
        source: std::io::Error,
    },
    /// It refused a command.
    #[error("Redis at {address} refused {command}: {message}")]
    Refused {
        /// `host:port`.
        address: String,
        /// The command's name.
        command: String,
        /// What it said.
        message: String,
    },
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// A short text.
    Simple(String),
    /// A refusal.
    Error(String),
    /// A number.
    Integer(i64),
    /// Bytes; none for a key that is not there.
    Bulk(Option<Vec<u8>>),
    /// A list.
    Array(Vec<Value>),
}

impl Value {
    /// The text, where it is one.
    pub fn text(&self) -> Option<&str> {
        match self {
            Value::Simple(text) => Some(text),
            Value::Bulk(Some(bytes)) => std::str::from_utf8(bytes).ok(),
            _ => None,
        }
    }

    fn list(self) -> Vec<Value> {
        match self {
            Value::Array(values) => values,
            _ => Vec::new(),
        }
    }
}

/// A connection.
#[derive(Debug)]
pub struct Redis {
    address: String,
    stream: BufReader<TcpStream>,
}

impl Redis {
    /// Connects, and shows who asks.
    ///
    /// # Errors
    /// It cannot be reached or refuses.
    pub async fn connect(to: &Address) -> Result<Redis, Error> {
        let connected = timeout(PATIENCE, TcpStream::connect(&to.address)).await;
        let stream = connected.unwrap_or_else(|_| Err(std::io::ErrorKind::TimedOut.into()));
        let stream = stream.map_err(|source| Error::Io { address: to.address.clone(), source })?;
        let mut redis = Redis { address: to.address.clone(), stream: BufReader::new(stream) };
        if let Some(password) = &to.password {
            match &to.user {
                Some(user) => redis.call(&["AUTH", user, password]).await?,
                None => redis.call(&["AUTH", password]).await?,
            };
        }
        if to.database != 0 {
            redis.call(&["SELECT", &to.database.to_string()]).await?;
        }
        Ok(redis)
    }

    /// Sends a command and waits for its answer.
    ///
    /// # Errors
    /// The connection broke, no answer came in time, or the command was refused.
    pub async fn call(&mut self, command: &[&str]) -> Result<Value, Error> {
        let exchanged = timeout(PATIENCE, self.exchange(command)).await;
        match exchanged.unwrap_or_else(|_| Err(std::io::ErrorKind::TimedOut.into())) {
            Ok(Value::Error(message)) => Err(Error::Refused {
                address: self.address.clone(),
                command: command.first().copied().unwrap_or_default().to_owned(),
                message,
            }),
            Ok(value) => Ok(value),
            Err(source) => Err(Error::Io { address: self.address.clone(), source }),
        }
    }

    /// Everything that a command of the SCAN family goes through; `command` is what stands before the cursor.
    ///
    /// # Errors
    /// As [`Redis::call`].
    pub async fn scan(&mut self, command: &[&str], options: &[&str]) -> Result<Vec<String>, Error> {
        let (mut cursor, mut found) = ("0".to_owned(), Vec::new());
        loop {
            let whole: Vec<&str> =
                command.iter().copied().chain([cursor.as_str()]).chain(options.iter().copied()).collect();
            let mut answer = self.call(&whole).await?.list().into_iter();
            let next = answer.next().and_then(|value| value.text().map(str::to_owned));
            let values = answer.next().map(Value::list).unwrap_or_default();
            found.extend(values.iter().filter_map(|value| value.text().map(str::to_owned)));
            match next {
                Some(next) if next != "0" => cursor = next,
                _ => break,
            }
        }
        // A key may be answered twice.
        found.sort();
        found.dedup();
        Ok(found)
    }

    async fn exchange(&mut self, command: &[&str]) -> std::io::Result<Value> {
        let mut request = format!("*{}\r\n", command.len()).into_bytes();
        for part in command {
            request.extend_from_slice(format!("${}\r\n{part}\r\n", part.len()).as_bytes());
        }
        self.stream.get_mut().write_all(&request).await?;
        self.answer().await
    }

    async fn answer(&mut self) -> std::io::Result<Value> {
        let line = self.line().await?;
        let (kind, rest) = line.split_at_checked(1).ok_or_else(unexpected)?;
        match kind {
            "+" => Ok(Value::Simple(rest.to_owned())),
            "-" => Ok(Value::Error(rest.to_owned())),
            ":" => rest.parse().map(Value::Integer).map_err(|_| unexpected()),
            "$" if rest == "-1" => Ok(Value::Bulk(None)),
            "$" => {
                let mut bytes = vec![0; length(rest)? + 2];
                self.stream.read_exact(&mut bytes).await?;
                bytes.truncate(bytes.len() - 2);
                Ok(Value::Bulk(Some(bytes)))
            }
            "*" if rest == "-1" => Ok(Value::Array(Vec::new())),
            "*" => {
                let mut values = Vec::new();
                for _ in 0..length(rest)? {
                    values.push(Box::pin(self.answer()).await?);
                }
                Ok(Value::Array(values))
            }
            _ => Err(unexpected()),
        }
    }

    async fn line(&mut self) -> std::io::Result<String> {
        let mut line = Vec::new();
        (&mut self.stream).take(64 * 1024).read_until(b'\n', &mut line).await?;
        let line = String::from_utf8(line).map_err(|_| unexpected())?;
        line.strip_suffix("\r\n").map(str::to_owned).ok_or_else(unexpected)
    }
}

fn length(text: &str) -> std::io::Result<usize> {
    text.parse().ok().filter(|length| *length <= LARGEST).ok_or_else(unexpected)
}

fn unexpected() -> std::io::Error {
    std::io::Error::new(std::io::ErrorKind::InvalidData, "the answer is not one of Redis")
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn answering(answer: &'static [u8]) -> Redis {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        tokio::spawn(async move {
            let (mut socket, _) = listener.accept().await.unwrap();
            let mut buffer = [0; 1000];
            let _ = socket.read(&mut buffer).await.unwrap();
            socket.write_all(answer).await.unwrap();
            let _ = socket.read(&mut buffer).await;
        });
        let to = Address { address, user: None, password: None, database: 0 };
        Redis::connect(&to).await.unwrap()
    }

    #[tokio::test]
    async fn answers_of_all_kinds_are_read() {
        let mut redis = answering(b"*5\r\n+OK\r\n:-7\r\n$3\r\na\r\n\r\n$-1\r\n*1\r\n$0\r\n\r\n\r\n").await;
        let bulk = |text: &str| Value::Bulk(Some(text.into()));
        let expected = vec![
            Value::Simple("OK".into()),
            Value::Integer(-7),
            bulk("a\r\n"),
            Value::Bulk(None),
            Value::Array(vec![bulk("")]),
        ];
        assert_eq!(redis.call(&["X"]).await.unwrap(), Value::Array(expected));
    }

    #[tokio::test]
    async fn refusals_and_nonsense_are_errors() {
        let refused = answering(b"-NOAUTH Authentication required.\r\n").await.call(&["GET", "a"]).await;
        assert!(matches!(refused, Err(Error::Refused { .. })), "{refused:?}");
        for nonsense in [&b"HTTP/1.1 200 OK\r\n"[..], b"$99999999999\r\n", b"*-2\r\n", b":x\r\n"] {
            let answer = answering(nonsense).await.call(&["X"]).await;
            assert!(matches!(answer, Err(Error::Io { .. })), "{answer:?}");
        }
    }
}
