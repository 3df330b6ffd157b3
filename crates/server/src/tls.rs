//! TLS by rustls: certificates that are replaced while connections go on.

mod validity;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwap;
use rustls::crypto::CryptoProvider;
use rustls::server::{ClientHello, ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::{RootCertStore, ServerConfig};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

/// How often the files are looked at.
const RELOAD_EVERY: Duration = Duration::from_secs(2);

/// What TLS needs.
#[derive(Clone, Debug)]
pub struct TlsOptions {
    /// PEM file with the chain, the server's certificate first.
    pub certificate: PathBuf,
    /// PEM file with its key.
    pub key: PathBuf,
    /// PEM files with the authorities of client certificates; none: clients need no certificate.
    pub client_authorities: Vec<PathBuf>,
    /// Whether clients without a certificate are let in all the same.
    pub client_optional: bool,
    /// Refuse TLS 1.2.
    pub only_tls13: bool,
    /// Offer HTTP/2.
    pub http2: bool,
}

/// Why TLS cannot start, or go on with new files.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read or holds something else.
    #[error("{path}: {reason}")]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// Certificate and key, or the protocol settings, do not fit.
    #[error("{certificate}: {source}")]
    Unusable {
        /// The certificate's file.
        certificate: PathBuf,
        /// rustls' error.
        source: rustls::Error,
    },
}

/// The certificate in use.
#[derive(Debug)]
struct Current {
    key: ArcSwap<CertifiedKey>,
}

impl ResolvesServerCert for Current {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.key.load_full())
    }
}

/// A TLS configuration whose certificate follows its files.
pub struct Tls {
    options: TlsOptions,
    current: Arc<Current>,
    provider: Arc<CryptoProvider>,
    /// What to accept connections with.
    pub config: Arc<ServerConfig>,
}

impl Tls {
    /// Reads the files.
    pub fn new(options: TlsOptions) -> Result<Tls, TlsError> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let current = Arc::new(Current { key: ArcSwap::from(load(&options, &provider)?) });
        let unusable = |source| TlsError::Unusable { certificate: options.certificate.clone(), source };
        let versions: &[&rustls::SupportedProtocolVersion] =
            if options.only_tls13 { &[&rustls::version::TLS13] } else { rustls::ALL_VERSIONS };
        let builder = ServerConfig::builder_with_provider(provider.clone());
        let builder = builder.with_protocol_versions(versions).map_err(unusable)?;
        let builder = match client_roots(&options)? {
            None => builder.with_no_client_auth(),
            Some(roots) => {
                let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), provider.clone());
                let verifier =
                    if options.client_optional { verifier.allow_unauthenticated() } else { verifier };
                let verifier = verifier.build().map_err(|error| TlsError::File {
                    path: options.client_authorities.first().cloned().unwrap_or_default(),
                    reason: error.to_string(),
                })?;
                builder.with_client_cert_verifier(verifier)
            }
        };
        let mut config = builder.with_cert_resolver(current.clone());
        let protocols: &[&[u8]] = if options.http2 { &[b"h2", b"http/1.1"] } else { &[b"http/1.1"] };
        config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
        Ok(Tls { options, current, provider, config: Arc::new(config) })
    }

    /// Follows the files for ever: connections that are open go on, new ones get the new certificate. Files that do
    /// not fit together leave the old certificate in use.
    pub async fn follow(self: Arc<Tls>) {
        let mut seen = self.stamp();
        loop {
            tokio::time::sleep(RELOAD_EVERY).await;
            let now = self.stamp();
            if now == seen {
                continue;
            }
            let tls = self.clone();
            let loaded = tokio::task::spawn_blocking(move || load(&tls.options, &tls.provider)).await;
            match loaded {
                Ok(Ok(key)) => {
                    self.current.key.store(key);
                    tracing::info!(certificate = %self.options.certificate.display(), "the certificate was replaced");
                }
                // Certificate and key are replaced one after the other: look again before complaining.
                Ok(Err(_)) if seen_recently(&now) => continue,
                Ok(Err(error)) => {
                    tracing::error!(%error, "the new certificate is not usable; the old one stays");
                }
                Err(_) => {}
            }
            seen = now;
        }
    }

    /// Seconds until the certificate in use ends, less than 0 since then; `None` where it does not say when.
    pub(crate) fn seconds_left(&self) -> Option<i64> {
        let ends = validity::ends_at(self.current.key.load().cert.first()?)?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        Some(ends.saturating_sub(i64::try_from(now).unwrap_or(i64::MAX)))
    }

    fn stamp(&self) -> Vec<Option<SystemTime>> {
        let modified = |path: &Path| std::fs::metadata(path).and_then(|metadata| metadata.modified()).ok();
        vec![modified(&self.options.certificate), modified(&self.options.key)]
    }
}

fn seen_recently(stamp: &[Option<SystemTime>]) -> bool {
    stamp.iter().flatten().any(|at| at.elapsed().unwrap_or_default() < 2 * RELOAD_EVERY)
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let fail = |reason: String| TlsError::File { path: path.to_owned(), reason };
    let read = CertificateDer::pem_file_iter(path).map_err(|error| fail(error.to_string()))?;
    let list: Result<Vec<_>, _> = read.collect();
    match list {
        Ok(list) if list.is_empty() => Err(fail("no certificate in this file".to_owned())),
        other => other.map_err(|error| fail(error.to_string())),
    }
}

fn load(options: &TlsOptions, provider: &CryptoProvider) -> Result<Arc<CertifiedKey>, TlsError> {
    let chain = certificates(&options.certificate)?;
    let key = PrivateKeyDer::from_pem_file(&options.key)
        .map_err(|error| TlsError::File { path: options.key.clone(), reason: error.to_string() })?;
    let key = CertifiedKey::from_der(chain, key, provider)
        .map_err(|source| TlsError::Unusable { certificate: options.certificate.clone(), source })?;
    Ok(Arc::new(key))
}

fn client_roots(options: &TlsOptions) -> Result<Option<RootCertStore>, TlsError> {
    if options.client_authorities.is_empty() {
        return Ok(None);
    }
    let mut roots = RootCertStore::empty();
    for path in &options.client_authorities {
        for certificate in certificates(path)? {
            let added = roots.add(certificate);
            added.map_err(|error| TlsError::File { path: path.clone(), reason: error.to_string() })?;
        }
    }
    Ok(Some(roots))
}

/// A failed handshake, as an IO error of the connection.
pub(crate) fn handshake_timeout() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, "the TLS handshake took too long")
}
