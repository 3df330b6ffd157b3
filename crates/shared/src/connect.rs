//! Connections to the first Redis of several that answers.

use std::time::Duration;

use redis::aio::{MultiplexedConnection, PubSub};
use redis::{
    AsyncConnectionConfig, Client, ClientTlsConfig, Cmd, ConnectionAddr, IntoConnectionInfo,
    RedisConnectionInfo, RedisError, TlsCertificates,
};

use crate::{Error, Options, PER_REQUEST};

/// The longest that connecting may take.
const LONGEST: Duration = Duration::from_secs(1);

pub(crate) struct Clients {
    clients: Vec<Client>,
    connect: Duration,
    /// How long one answer may take.
    answer: Duration,
}

impl Clients {
    /// For what somebody's request waits for.
    pub(crate) fn new(options: &Options) -> Result<Clients, Error> {
        let (connect, answer) = (options.connect.min(LONGEST), options.answer.min(PER_REQUEST));
        Ok(Clients { connect, answer, ..Clients::patient(options, connect)? })
    }

    /// For what may take so long.
    pub(crate) fn patient(options: &Options, patience: Duration) -> Result<Clients, Error> {
        let clients: Result<Vec<Client>, Error> =
            options.addresses.iter().map(|address| client(options, address)).collect();
        Ok(Clients { clients: clients?, connect: patience, answer: patience })
    }

    /// A connection that has answered, as fast as each answer has to be: one that is slower would be given up by the
    /// first command.
    pub(crate) async fn connect(&self) -> Result<MultiplexedConnection, RedisError> {
        let mut last = nobody();
        for client in &self.clients {
            // Time-outs of answers are those of the caller.
            let config = AsyncConnectionConfig::new()
                .set_connection_timeout(Some(self.connect))
                .set_response_timeout(Some(self.connect));
            match client.get_multiplexed_async_connection_with_config(&config).await {
                Ok(mut connection) => {
                    let ping = async { Cmd::new().arg("PING").query_async(&mut connection).await };
                    match tokio::time::timeout(self.answer, ping).await {
                        Ok(Ok(())) => return Ok(connection),
                        Ok(Err(error)) => last = error,
                        Err(_) => last = slow(),
                    }
                }
                Err(error) => last = error,
            }
        }
        Err(last)
    }
}

impl Clients {
    /// A connection that listens, to the first that takes it.
    pub(crate) async fn listen(&self) -> Result<PubSub, RedisError> {
        let mut last = nobody();
        for client in &self.clients {
            match tokio::time::timeout(LONGEST, client.get_async_pubsub()).await {
                Ok(Ok(listening)) => return Ok(listening),
                Ok(Err(error)) => last = error,
                Err(_) => {}
            }
        }
        Err(last)
    }
}

fn slow() -> RedisError {
    RedisError::from((redis::ErrorKind::Io, "it connects and does not answer in time"))
}

fn nobody() -> RedisError {
    RedisError::from((redis::ErrorKind::Io, "no Redis answers"))
}

fn client(options: &Options, address: &str) -> Result<Client, Error> {
    let malformed = || Error::Address(address.to_owned());
    let (host, port) = address.rsplit_once(':').ok_or_else(malformed)?;
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let (host, port) = (host.to_owned(), port.parse().map_err(|_| malformed())?);
    if host.is_empty() {
        return Err(malformed());
    }
    let mut redis = RedisConnectionInfo::default().set_db(options.database).set_skip_set_lib_name();
    if let Some(user) = &options.user {
        redis = redis.set_username(user);
    }
    if let Some(password) = &options.password {
        redis = redis.set_password(password);
    }
    let addr = match options.tls {
        None => ConnectionAddr::Tcp(host, port),
        Some(_) => ConnectionAddr::TcpTls { host, port, insecure: false, tls_params: None },
    };
    let info = addr.into_connection_info().map_err(|_| malformed())?.set_redis_settings(redis);
    let unusable = |error: RedisError| Error::Tls(error.to_string());
    match &options.tls {
        None => Client::open(info).map_err(|_| malformed()),
        Some(tls) => {
            let client = tls.client.clone();
            let client_tls =
                client.map(|(client_cert, client_key)| ClientTlsConfig { client_cert, client_key });
            let certificates = TlsCertificates { client_tls, root_cert: tls.roots.clone() };
            Client::build_with_tls(info, certificates).map_err(unusable)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    /// Answers a PING so late.
    async fn answering_after(time: Duration) -> String {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        tokio::spawn(async move {
            let (mut socket, _) = listener.accept().await.unwrap();
            let mut buffer = [0; 1_000];
            let _ = socket.read(&mut buffer).await.unwrap();
            tokio::time::sleep(time).await;
            let _ = socket.write_all(b"+PONG\r\n").await;
            let _ = socket.read(&mut buffer).await;
        });
        address
    }

    #[tokio::test]
    async fn a_connection_is_used_only_where_it_answers_as_fast_as_answers_have_to_be() {
        for (late, used) in [(0, true), (300, false)] {
            let options = Options {
                addresses: vec![answering_after(Duration::from_millis(late)).await],
                user: None,
                password: None,
                database: 0,
                tls: None,
                connect: Duration::from_secs(1),
                answer: Duration::from_millis(100),
            };
            assert_eq!(Clients::new(&options).unwrap().connect().await.is_ok(), used, "{late} ms");
            let options =
                Options { addresses: vec![answering_after(Duration::from_millis(late)).await], ..options };
            assert!(Clients::patient(&options, Duration::from_secs(5)).unwrap().connect().await.is_ok());
        }
    }
}
