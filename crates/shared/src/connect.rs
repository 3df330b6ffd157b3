//! Connections to the first Redis of several that answers.

use std::time::Duration;

use redis::aio::{MultiplexedConnection, PubSub};
use redis::{
    AsyncConnectionConfig, Client, ClientTlsConfig, Cmd, ConnectionAddr, IntoConnectionInfo,
    RedisConnectionInfo, RedisError, TlsCertificates,
};

use crate::{Error, Options};

/// The longest that connecting may take.
const LONGEST: Duration = Duration::from_secs(1);

pub(crate) struct Clients {
    clients: Vec<Client>,
    connect: Duration,
}

impl Clients {
    pub(crate) fn new(options: &Options) -> Result<Clients, Error> {
        let clients: Result<Vec<Client>, Error> =
            options.addresses.iter().map(|address| client(options, address)).collect();
        Ok(Clients { clients: clients?, connect: options.connect.min(LONGEST) })
    }

    /// A connection that has answered.
    pub(crate) async fn connect(&self) -> Result<MultiplexedConnection, RedisError> {
        let mut last = nobody();
        for client in &self.clients {
            // Time-outs of answers are those of the caller.
            let config = AsyncConnectionConfig::new()
                .set_connection_timeout(Some(self.connect))
                .set_response_timeout(Some(self.connect));
            match client.get_multiplexed_async_connection_with_config(&config).await {
                Ok(mut connection) => match Cmd::new().arg("PING").query_async(&mut connection).await {
                    Ok(()) => return Ok(connection),
                    Err(error) => last = error,
                },
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
