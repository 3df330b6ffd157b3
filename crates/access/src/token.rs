//! Bearer tokens of an outside issuer (Distribution's "Token Authentication Implementation").
//!
//! The key is found by the token's `kid` among the configured ones and nowhere else. Whatever key material a token
//! carries in its own header is refused unread (CVE-2025-24976).

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::errors::{Error, ErrorKind};
use jsonwebtoken::{Algorithm, Validation};
use quick_cache::sync::Cache;
use serde::Deserialize;
use serde_json::Value;
use wharfinger_oci::Action;

use crate::jwk::KeySet;
use crate::keyed_hash::Key;
use crate::watched::Watched;
use crate::{AccessError, Grant, Identity, Refused, TokenConfig};

/// Clock skew allowed to the issuer, in seconds, as in Distribution.
const LEEWAY: u64 = 60;
/// Longer tokens are refused unread.
const MAX_TOKEN_BYTES: usize = 32 * 1024;
/// How many verified tokens are remembered.
const REMEMBERED: usize = 4096;
/// What is accepted unless the configuration says otherwise: Distribution's list without shared secrets and ES512.
const DEFAULT_ALGORITHMS: [&str; 9] =
    ["EdDSA", "RS256", "RS384", "RS512", "ES256", "ES384", "PS256", "PS384", "PS512"];

/// Verifies tokens.
pub(crate) struct TokenVerifier {
    issuer: String,
    service: String,
    algorithms: Vec<(String, Algorithm)>,
    keys: Arc<Watched<Trusted>>,
    cache_key: Key,
}

/// The keys, and what was verified with them. Both are replaced together.
struct Trusted {
    keys: KeySet,
    verified: Cache<[u8; 32], Verified>,
}

#[derive(Clone)]
struct Verified {
    identity: Identity,
    /// Seconds after the epoch.
    expires: u64,
}

/// The header, read before anything is verified.
#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
    jwk: Option<Value>,
    jku: Option<Value>,
    x5c: Option<Value>,
    x5u: Option<Value>,
    crit: Option<Value>,
}

/// The claims that are not checked by the library.
#[derive(Deserialize)]
struct Claims {
    sub: Option<String>,
    exp: f64,
    access: Option<Vec<AccessEntry>>,
}

#[derive(Deserialize)]
struct AccessEntry {
    #[serde(rename = "type")]
    kind: String,
    name: String,
    actions: Option<Vec<String>>,
}

impl TokenVerifier {
    /// Checks the settings and reads the keys.
    pub(crate) fn new(config: &TokenConfig) -> Result<TokenVerifier, AccessError> {
        for (key, value) in [("auth.token.issuer", &config.issuer), ("auth.token.service", &config.service)] {
            if value.is_empty() {
                return Err(AccessError::Empty(key));
            }
        }
        if config.realm.is_empty() && !config.autoredirect {
            return Err(AccessError::Empty("auth.token.realm"));
        }
        let names: Vec<&str> = match config.signing_algorithms.as_slice() {
            [] => DEFAULT_ALGORITHMS.to_vec(),
            names => names.iter().map(String::as_str).collect(),
        };
        let algorithms = names.into_iter().map(algorithm).collect::<Result<_, _>>()?;
        let paths = [&config.rootcertbundle, &config.jwks].into_iter().flatten().cloned().collect();
        let load = {
            let config = config.clone();
            Box::new(move || Ok(Trusted { keys: KeySet::read(&config)?, verified: Cache::new(REMEMBERED) }))
        };
        Ok(TokenVerifier {
            issuer: config.issuer.clone(),
            service: config.service.clone(),
            algorithms,
            keys: Watched::new(paths, load)?,
            cache_key: Key::random()?,
        })
    }

    /// Whose token it is and what it grants.
    pub(crate) async fn verify(&self, token: &str) -> Result<Identity, Refused> {
        if token.len() > MAX_TOKEN_BYTES {
            return Err(Refused::invalid_token(format!("the token is longer than {MAX_TOKEN_BYTES} bytes")));
        }
        let trusted = self.keys.current().await;
        let key = self.cache_key.hash(&[token.as_bytes()]);
        if let Some(known) = trusted.verified.get(&key) {
            if now() <= known.expires.saturating_add(LEEWAY) {
                return Ok(known.identity);
            }
            trusted.verified.remove(&key);
        }
        let verified = self.verify_anew(&trusted.keys, token).map_err(Refused::invalid_token)?;
        trusted.verified.insert(key, verified.clone());
        Ok(verified.identity)
    }

    fn verify_anew(&self, keys: &KeySet, token: &str) -> Result<Verified, String> {
        let header = read_header(token)?;
        let algorithm = self.accepted_algorithm(&header.alg)?;
        refuse_foreign_keys(&header)?;
        let kid = header.kid.as_deref().ok_or("the token names no key: its header has no kid")?;
        let key =
            keys.get(kid).ok_or_else(|| format!("the token's key {kid:?} is not among the trusted ones"))?;
        if !key.makes(&header.alg, algorithm) {
            return Err(format!("the token's algorithm {} does not fit its key {kid:?}", header.alg));
        }
        let validation = self.validation(algorithm);
        let claims = jsonwebtoken::decode::<Claims>(token, &key.decoding, &validation)
            .map_err(|error| self.explain(&error))?
            .claims;
        let grants = claims.access.unwrap_or_default().iter().filter_map(AccessEntry::grant).collect();
        let subject = Arc::from(claims.sub.unwrap_or_default());
        Ok(Verified { identity: Identity::Token { subject, grants }, expires: claims.exp as u64 })
    }

    fn accepted_algorithm(&self, name: &str) -> Result<Algorithm, String> {
        let accepted = self.algorithms.iter().find(|(accepted, _)| accepted == name);
        accepted.map(|&(_, algorithm)| algorithm).ok_or_else(|| {
            let names: Vec<&str> = self.algorithms.iter().map(|(name, _)| name.as_str()).collect();
            format!("the token's algorithm {name:?} is not accepted; accepted are {}", names.join(", "))
        })
    }

    fn validation(&self, algorithm: Algorithm) -> Validation {
        let mut validation = Validation::new(algorithm);
        validation.leeway = LEEWAY;
        validation.validate_nbf = true;
        validation.set_issuer(&[&self.issuer]);
        validation.set_audience(&[&self.service]);
        validation.set_required_spec_claims(&["exp", "iss", "aud"]);
        validation
    }

    fn explain(&self, error: &Error) -> String {
        match error.kind() {
            ErrorKind::ExpiredSignature => "the token has expired".to_owned(),
            ErrorKind::ImmatureSignature => "the token is not valid yet".to_owned(),
            ErrorKind::InvalidIssuer => format!("the token is not by issuer {:?}", self.issuer),
            ErrorKind::InvalidAudience => format!("the token is not for service {:?}", self.service),
            ErrorKind::InvalidSignature => "the token's signature is wrong".to_owned(),
            ErrorKind::MissingRequiredClaim(claim) => format!("the token has no {claim} claim"),
            _ => format!("the token is unusable: {error}"),
        }
    }

    #[cfg(test)]
    pub(crate) fn expire(&self) {
        self.keys.expire();
    }
}

impl AccessEntry {
    /// Entries of kinds that this registry has not are left out.
    fn grant(&self) -> Option<Grant> {
        let actions = self.actions.as_deref().unwrap_or_default();
        let has = |name: &str| actions.iter().any(|action| action == name || action == "*");
        match self.kind.as_str() {
            "repository" => {
                let all = [Action::Pull, Action::Push, Action::Delete];
                let granted: Vec<Action> = all.into_iter().filter(|action| has(action.as_str())).collect();
                Some(Grant::repository(&self.name, &granted))
            }
            "registry" if self.name == "catalog" && has("*") => Some(Grant::catalog()),
            _ => None,
        }
    }
}

fn algorithm(name: &str) -> Result<(String, Algorithm), AccessError> {
    let refuse = |reason| AccessError::Algorithm { name: name.to_owned(), reason };
    if name.eq_ignore_ascii_case("none") {
        return Err(refuse("unsigned tokens prove nothing and are never accepted"));
    }
    if name.starts_with("HS") {
        return Err(refuse(
            "a shared secret lets whoever verifies tokens also make them; use RS256 or ES256",
        ));
    }
    match name.parse() {
        Ok(algorithm) if DEFAULT_ALGORITHMS.contains(&name) => Ok((name.to_owned(), algorithm)),
        _ => Err(refuse("not supported; choose among EdDSA, RS256/384/512, ES256/384, PS256/384/512")),
    }
}

fn read_header(token: &str) -> Result<Header, String> {
    let mut parts = token.split('.');
    let (Some(header), Some(_), Some(_), None) = (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err("not a JSON Web Token: expected three parts separated by dots".to_owned());
    };
    let json = URL_SAFE_NO_PAD.decode(header).map_err(|_| "the token's header is not base64url")?;
    serde_json::from_slice(&json).map_err(|error| format!("the token's header is malformed: {error}"))
}

/// A key that comes with the token vouches for nothing.
fn refuse_foreign_keys(header: &Header) -> Result<(), String> {
    let carried = [("jwk", &header.jwk), ("jku", &header.jku), ("x5c", &header.x5c), ("x5u", &header.x5u)];
    if let Some((name, _)) = carried.iter().find(|(_, value)| value.is_some()) {
        return Err(format!(
            "the token carries its own key ({name}), which is never trusted: let the issuer name a configured key by kid"
        ));
    }
    match header.crit {
        Some(_) => Err("the token's header demands an extension (crit) that is not supported".to_owned()),
        None => Ok(()),
    }
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests;
