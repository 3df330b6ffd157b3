//! Certificates made on the spot, and the client's side of TLS.

use std::fs;
use std::io;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rcgen::{BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

/// A certificate authority of a test's own.
#[derive(Clone)]
pub struct Authority {
    certificate: CertificateDer<'static>,
    pem: String,
    issuer: Arc<Issuer<'static, KeyPair>>,
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Authority")
    }
}

/// A server's certificate and key, as files.
#[derive(Clone, Debug)]
pub struct Identity {
    /// Certificate, PEM.
    pub certificate: PathBuf,
    /// Private key, PEM.
    pub key: PathBuf,
    /// The certificate itself, to compare with what a server shows.
    pub der: Vec<u8>,
}

/// A client's certificate and key.
#[derive(Clone, Debug)]
pub struct ClientCertificate {
    /// Certificate, PEM.
    pub certificate: String,
    /// Private key, PEM.
    pub key: String,
    certificate_der: CertificateDer<'static>,
    key_der: Vec<u8>,
}

/// What a client certificate is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Clients, today.
    Client,
    /// Clients, once: it ended in 2001.
    Ended,
    /// Servers only.
    Server,
}

impl Authority {
    /// A new authority.
    pub fn new() -> Authority {
        let mut params = CertificateParams::new(Vec::new()).expect("parameters of an authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "Wharfinger test authority");
        let key = KeyPair::generate().expect("a key pair");
        let certificate = params.self_signed(&key).expect("a certificate");
        let pem = certificate.pem();
        let certificate = certificate.der().clone();
        Authority { certificate, pem, issuer: Arc::new(Issuer::new(params, key)) }
    }

    /// Its certificate, PEM, for clients that take a file.
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// Issues a certificate for 127.0.0.1 and localhost, written into `directory`.
    pub fn issue(&self, directory: &Path) -> Identity {
        self.issue_with(directory, |_| {})
    }

    /// As [`Authority::issue`], for a certificate that ends so far from now.
    pub fn issue_for(&self, directory: &Path, life: Duration) -> Identity {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970");
        self.issue_with(directory, |params| params.not_after = rcgen::date_time_ymd(1970, 1, 1) + now + life)
    }

    fn issue_with(&self, directory: &Path, change: impl FnOnce(&mut CertificateParams)) -> Identity {
        let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
        let mut params = CertificateParams::new(names).expect("parameters of a certificate");
        change(&mut params);
        let key = KeyPair::generate().expect("a key pair");
        let signed = params.signed_by(&key, &self.issuer).expect("a certificate");
        let identity = Identity {
            certificate: directory.join("server.crt"),
            key: directory.join("server.key"),
            der: signed.der().to_vec(),
        };
        fs::write(&identity.certificate, signed.pem()).expect("the certificate is written");
        fs::write(&identity.key, key.serialize_pem()).expect("the key is written");
        identity
    }

    /// Issues a certificate for the client `name` (CN).
    pub fn issue_client(&self, name: &str, purpose: Purpose) -> ClientCertificate {
        let mut params = CertificateParams::new(Vec::new()).expect("parameters of a certificate");
        params.distinguished_name.push(DnType::CommonName, name);
        params.extended_key_usages = vec![match purpose {
            Purpose::Server => ExtendedKeyUsagePurpose::ServerAuth,
            Purpose::Client | Purpose::Ended => ExtendedKeyUsagePurpose::ClientAuth,
        }];
        if purpose == Purpose::Ended {
            (params.not_before, params.not_after) =
                (rcgen::date_time_ymd(2000, 1, 1), rcgen::date_time_ymd(2001, 1, 1));
        }
        let key = KeyPair::generate().expect("a key pair");
        let signed = params.signed_by(&key, &self.issuer).expect("a certificate");
        ClientCertificate {
            certificate: signed.pem(),
            key: key.serialize_pem(),
            certificate_der: signed.der().clone(),
            key_der: key.serialize_der(),
        }
    }

    /// A client configuration that trusts this authority alone and offers `protocols` (ALPN).
    pub fn client_config(&self, protocols: &[&str]) -> ClientConfig {
        self.client_config_as(None, protocols)
    }

    /// The same with a certificate of the client's.
    pub fn client_config_as(&self, client: Option<&ClientCertificate>, protocols: &[&str]) -> ClientConfig {
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate.clone()).expect("the authority's certificate is usable");
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("TLS 1.2 and 1.3")
            .with_root_certificates(roots);
        let mut config = match client {
            None => builder.with_no_client_auth(),
            Some(client) => {
                let key = PrivateKeyDer::try_from(client.key_der.clone()).expect("a private key");
                let chain = vec![client.certificate_der.clone()];
                builder.with_client_auth_cert(chain, key).expect("a certificate that fits its key")
            }
        };
        config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
        config
    }

    /// Completes a handshake over `socket`.
    pub fn connect(
        &self,
        client: Option<&ClientCertificate>,
        socket: TcpStream,
    ) -> io::Result<StreamOwned<ClientConnection, TcpStream>> {
        let config = Arc::new(self.client_config_as(client, &["http/1.1"]));
        let name = ServerName::try_from("127.0.0.1").expect("an address is a server name");
        let connection = ClientConnection::new(config, name).map_err(io::Error::other)?;
        let mut stream = StreamOwned::new(connection, socket);
        while stream.conn.is_handshaking() {
            stream.conn.complete_io(&mut stream.sock)?;
        }
        Ok(stream)
    }
}

impl Default for Authority {
    fn default() -> Self {
        Authority::new()
    }
}
