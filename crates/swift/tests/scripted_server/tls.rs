//! Whom the client believes.

use std::sync::Arc;

use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::ServerConfig;
use rustls_pki_types::PrivateKeyDer;
use wharfinger_swift::{Client, ErrorKind, Options, Read};

use crate::server::{Server, object};

async fn head(options: Options) -> Result<wharfinger_swift::ObjectInfo, wharfinger_swift::Error> {
    Client::new(options)?.container("box")?.head("o", &Read::default()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_counts_only_if_it_was_given_or_anything_counts() {
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    let key = PrivateKeyDer::try_from(signing_key.serialize_der()).expect("a key");
    let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![cert.der().clone()], key)
        .expect("a server");
    let server = Server::with_tls(config, |_, _| object(b"", "e")).await;
    let mut options = server.options();
    options.retry.attempts = 1;

    let error = head(options.clone()).await.expect_err("nobody vouches for it");
    assert_eq!(error.kind(), ErrorKind::Connection);
    assert!(error.to_string().contains("certificate"), "{error}");

    let given = Options { extra_roots: Some(cert.pem().into_bytes()), ..options.clone() };
    head(given).await.expect("it was given");

    head(Options { insecure_skip_verify: true, ..options.clone() }).await.expect("anything counts");

    let garbage = Options { extra_roots: Some(b"-----BEGIN CERTIFICATE-----\n!\n".to_vec()), ..options };
    assert_eq!(Client::new(garbage).expect_err("no PEM").kind(), ErrorKind::Invalid);
}
