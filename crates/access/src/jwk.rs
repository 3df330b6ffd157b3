//! The keys that may sign tokens, read from certificates and JSON Web Key Sets (RFC 7517).

use std::collections::HashMap;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, DecodingKey};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use serde::Deserialize;

use crate::public_key::{Curve, PublicKey, libtrust_id};
use crate::{AccessError, TokenConfig, der};

const CERTIFICATES: &str = "auth.token.rootcertbundle";
const KEY_SET: &str = "auth.token.jwks";

/// The trusted keys by their ids.
#[derive(Default)]
pub(crate) struct KeySet(HashMap<String, TrustedKey>);

/// A key that may sign tokens.
pub(crate) struct TrustedKey {
    public: PublicKey,
    /// The one algorithm that the key set allows it.
    only: Option<String>,
    pub(crate) decoding: DecodingKey,
}

impl TrustedKey {
    /// Whether a token with this `alg` can be signed by this key.
    pub(crate) fn makes(&self, name: &str, algorithm: Algorithm) -> bool {
        self.public.makes(algorithm) && self.only.as_deref().is_none_or(|only| only == name)
    }
}

/// The members of a JSON Web Key that matter here.
#[derive(Deserialize)]
struct Jwk {
    kty: String,
    kid: Option<String>,
    #[serde(rename = "use")]
    purpose: Option<String>,
    alg: Option<String>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

#[derive(Deserialize)]
struct JwkSet {
    keys: Vec<Jwk>,
}

impl KeySet {
    /// Reads the files that the configuration names.
    pub(crate) fn read(config: &TokenConfig) -> Result<KeySet, AccessError> {
        let mut keys = KeySet::default();
        if let Some(path) = &config.rootcertbundle {
            keys.add_certificates(&read(CERTIFICATES, path)?)
                .map_err(|reason| bad(CERTIFICATES, path, reason))?;
        }
        if let Some(path) = &config.jwks {
            keys.add_jwks(&read(KEY_SET, path)?).map_err(|reason| bad(KEY_SET, path, reason))?;
        }
        if keys.0.is_empty() { Err(AccessError::NoKeys) } else { Ok(keys) }
    }

    /// The key of this id, from the files alone.
    pub(crate) fn get(&self, id: &str) -> Option<&TrustedKey> {
        self.0.get(id)
    }

    /// Each certificate's key goes by two ids: Distribution 2's and Distribution 3's.
    fn add_certificates(&mut self, pem: &[u8]) -> Result<(), String> {
        let mut found = false;
        for (index, certificate) in CertificateDer::pem_slice_iter(pem).enumerate() {
            let number = index + 1;
            let certificate = certificate.map_err(|error| format!("certificate {number}: {error}"))?;
            let info = der::key_of_certificate(&certificate)
                .ok_or_else(|| format!("certificate {number} is malformed"))?;
            let key = PublicKey::from_key_info(&info)
                .map_err(|reason| format!("certificate {number}: {reason}"))?;
            self.add(libtrust_id(info.der), key.clone(), None)?;
            self.add(key.thumbprint(), key, None)?;
            found = true;
        }
        if found { Ok(()) } else { Err("holds no PEM certificate".to_owned()) }
    }

    fn add_jwks(&mut self, json: &[u8]) -> Result<(), String> {
        let set: JwkSet = serde_json::from_slice(json).map_err(|error| error.to_string())?;
        let mut found = false;
        for (index, jwk) in set.keys.into_iter().enumerate() {
            if jwk.purpose.as_deref().is_some_and(|purpose| purpose != "sig") {
                continue;
            }
            let key = jwk.public_key().map_err(|reason| format!("keys[{index}]: {reason}"))?;
            let id = jwk.kid.unwrap_or_else(|| key.thumbprint());
            self.add(id, key, jwk.alg)?;
            found = true;
        }
        if found { Ok(()) } else { Err("holds no signing key".to_owned()) }
    }

    fn add(&mut self, id: String, public: PublicKey, only: Option<String>) -> Result<(), String> {
        if self.0.get(&id).is_some_and(|known| known.public != public) {
            return Err(format!("two different keys have the id {id:?}"));
        }
        let decoding = public.to_decoding_key();
        self.0.insert(id, TrustedKey { public, only, decoding });
        Ok(())
    }
}

impl Jwk {
    fn public_key(&self) -> Result<PublicKey, String> {
        match (self.kty.as_str(), self.crv.as_deref()) {
            ("RSA", _) => PublicKey::rsa(&bytes("n", &self.n)?, &bytes("e", &self.e)?),
            ("EC", Some("P-256")) => PublicKey::ec(Curve::P256, &bytes("x", &self.x)?, &bytes("y", &self.y)?),
            ("EC", Some("P-384")) => PublicKey::ec(Curve::P384, &bytes("x", &self.x)?, &bytes("y", &self.y)?),
            ("OKP", Some("Ed25519")) => PublicKey::ed25519(&bytes("x", &self.x)?),
            ("oct", _) => Err("a shared secret cannot verify tokens here; use a public key".to_owned()),
            (kind, curve) => Err(format!(
                "unsupported key {kind} {}: use RSA, P-256, P-384 or Ed25519",
                curve.unwrap_or_default()
            )),
        }
    }
}

fn bytes(name: &str, value: &Option<String>) -> Result<Vec<u8>, String> {
    let text = value.as_deref().ok_or_else(|| format!("{name} is missing"))?;
    URL_SAFE_NO_PAD.decode(text.trim_end_matches('=')).map_err(|_| format!("{name} is not base64url"))
}

fn read(key: &'static str, path: &Path) -> Result<Vec<u8>, AccessError> {
    std::fs::read(path).map_err(|source| AccessError::KeyFile { key, path: path.to_owned(), source })
}

fn bad(key: &'static str, path: &Path, reason: String) -> AccessError {
    AccessError::Key { key, path: path.to_owned(), reason }
}
