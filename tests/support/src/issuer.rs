//! A token issuer of a test's own: Distribution's "Token Authentication Specification" over plain HTTP on loopback.

use std::fmt;
use std::fs;
use std::io::{self, BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, EncodingKey};
use parking_lot::Mutex;
use rcgen::{CertificateParams, KeyPair, PublicKeyData};
use serde_json::{Value, json};
use wharfinger_oci::Digest;

use crate::registry::Builder;

/// The service that tokens are for, as in `auth.token.service`.
pub const SERVICE: &str = "registry of the tests";
/// Who makes the tokens, as in `auth.token.issuer`.
pub const ISSUER: &str = "issuer of the tests";

/// A key that signs tokens with ES256.
pub struct TokenKey {
    /// The certificate, PEM.
    pub certificate: String,
    x: String,
    y: String,
    signing: EncodingKey,
}

impl TokenKey {
    /// A new key.
    pub fn new() -> TokenKey {
        let pair = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).expect("a key pair");
        let certificate = CertificateParams::default().self_signed(&pair).expect("a certificate");
        // An uncompressed point: 4, x, y (SEC 1, section 2.3.3).
        let point = pair.der_bytes();
        TokenKey {
            certificate: certificate.pem(),
            x: URL_SAFE_NO_PAD.encode(&point[1..33]),
            y: URL_SAFE_NO_PAD.encode(&point[33..]),
            signing: EncodingKey::from_ec_der(&pair.serialize_der()),
        }
    }

    /// Its id: the thumbprint of RFC 7638.
    pub fn id(&self) -> String {
        let (x, y) = (&self.x, &self.y);
        let text = format!(r#"{{"crv":"P-256","kty":"EC","x":"{x}","y":"{y}"}}"#);
        URL_SAFE_NO_PAD.encode(Digest::sha256(text.as_bytes()).as_bytes())
    }

    /// The public half (RFC 7517), under this id.
    pub fn jwk(&self, id: &str) -> Value {
        json!({ "kty": "EC", "crv": "P-256", "kid": id, "use": "sig", "x": self.x, "y": self.y })
    }

    /// A token with this header and these claims, whatever they say, signed with ES256.
    pub fn sign(&self, header: &Value, claims: &Value) -> String {
        let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let message = format!("{}.{}", encode(header), encode(claims));
        let signature = jsonwebtoken::crypto::sign(message.as_bytes(), &self.signing, Algorithm::ES256);
        format!("{message}.{}", signature.expect("a signature"))
    }

    /// A token with these claims, as it should be.
    pub fn token(&self, claims: &Value) -> String {
        self.sign(&json!({ "typ": "JWT", "alg": "ES256", "kid": self.id() }), claims)
    }
}

impl Default for TokenKey {
    fn default() -> Self {
        TokenKey::new()
    }
}

impl fmt::Debug for TokenKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TokenKey({})", self.id())
    }
}

/// The time, in seconds after the epoch.
pub fn epoch_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("a time after 1970").as_secs()
}

/// The claims of a token for `subject` that is good for five minutes and grants `scopes`, each as
/// `repository:NAME:pull,push`.
pub fn token_claims(subject: &str, scopes: &[&str]) -> Value {
    let access: Vec<Value> = scopes.iter().filter_map(|scope| access_entry(scope, |_| true)).collect();
    let now = epoch_seconds();
    json!({
        "iss": ISSUER, "aud": SERVICE, "sub": subject, "iat": now, "nbf": now - 5, "exp": now + 300,
        "access": access,
    })
}

/// A scope as an entry of the `access` claim, with those of its actions that `may` admits.
fn access_entry(scope: &str, may: impl Fn(&str) -> bool) -> Option<Value> {
    let (kind, rest) = scope.split_once(':')?;
    let (name, actions) = rest.rsplit_once(':')?;
    let actions: Vec<&str> = actions.split(',').filter(|action| may(action)).collect();
    Some(json!({ "type": kind, "name": name, "actions": actions }))
}

/// What a client asked the issuer for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenRequest {
    /// Who it said it is, by password; `None` without credentials.
    pub user: Option<String>,
    /// The `service` parameter.
    pub service: String,
    /// All scopes, in their order.
    pub scopes: Vec<String>,
}

/// Whether somebody (`None`: nobody in particular) may do an action on a repository: user, repository, action.
pub type Rules = fn(Option<&str>, &str, &str) -> bool;

struct Shared {
    key: TokenKey,
    rules: Rules,
    requests: Mutex<Vec<TokenRequest>>,
    ended: std::sync::atomic::AtomicBool,
}

/// A running issuer. Every user's password is their name.
pub struct TokenIssuer {
    shared: Arc<Shared>,
    port: u16,
    thread: Option<JoinHandle<()>>,
}

impl fmt::Debug for TokenIssuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TokenIssuer({})", self.realm())
    }
}

impl TokenIssuer {
    /// Starts an issuer that grants what `rules` admit.
    pub fn start(rules: Rules) -> TokenIssuer {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free loopback port");
        let port = listener.local_addr().expect("a bound address").port();
        let shared = Arc::new(Shared {
            key: TokenKey::new(),
            rules,
            requests: Mutex::default(),
            ended: Default::default(),
        });
        let thread = std::thread::spawn({
            let shared = shared.clone();
            move || {
                for stream in listener.incoming() {
                    if shared.ended.load(std::sync::atomic::Ordering::Acquire) {
                        return;
                    }
                    // A client that gives up is no affair of the issuer's.
                    let _ = stream.and_then(|stream| shared.serve(stream));
                }
            }
        });
        TokenIssuer { shared, port, thread: Some(thread) }
    }

    /// Its URL. By name: some clients go to no private address that is not the registry's own.
    pub fn realm(&self) -> String {
        format!("http://localhost:{}/token", self.port)
    }

    /// The port that it listens on.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The key that it signs with.
    pub fn key(&self) -> &TokenKey {
        &self.shared.key
    }

    /// What was asked for so far.
    pub fn requests(&self) -> Vec<TokenRequest> {
        self.shared.requests.lock().clone()
    }

    /// Makes a registry trust this issuer and its key.
    #[must_use]
    pub fn trusted_by(&self, builder: Builder) -> Builder {
        let file = builder.directory().join("jwks.json");
        write_keys(&file, &[self.key()]);
        let settings = json!({ "realm": self.realm(), "service": SERVICE, "issuer": ISSUER, "jwks": file });
        builder.set("auth.token", settings)
    }
}

impl Drop for TokenIssuer {
    fn drop(&mut self) {
        self.shared.ended.store(true, std::sync::atomic::Ordering::Release);
        // Wakes the thread.
        let _ = TcpStream::connect(("127.0.0.1", self.port));
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Writes a key set with these keys under their own ids.
pub fn write_keys(file: &Path, keys: &[&TokenKey]) {
    let keys: Vec<Value> = keys.iter().map(|key| key.jwk(&key.id())).collect();
    fs::write(file, json!({ "keys": keys }).to_string()).expect("the key set is written");
}

impl Shared {
    /// Answers one request and closes the connection.
    fn serve(&self, mut stream: TcpStream) -> io::Result<()> {
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        let mut lines = BufReader::new(stream.try_clone()?).lines();
        let first = lines.next().transpose()?.unwrap_or_default();
        let mut user = None;
        for line in lines {
            let line = line?;
            let (name, value) = line.split_once(':').unwrap_or_default();
            if name.eq_ignore_ascii_case("authorization") {
                user = Some(user_of(value.trim()));
            }
            if line.is_empty() {
                break;
            }
        }
        let (status, body) = match (first.split(' ').collect::<Vec<_>>().as_slice(), user) {
            (["GET", target, _], None) => self.grant(target, None),
            (["GET", target, _], Some(Some(user))) => self.grant(target, Some(user)),
            (["GET", ..], Some(None)) => ("401 Unauthorized", json!({ "details": "wrong password" })),
            // Clients that try OAuth2 first ask again with GET.
            _ => ("404 Not Found", json!({})),
        };
        let body = body.to_string();
        write!(
            stream,
            "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        )
    }

    fn grant(&self, target: &str, user: Option<String>) -> (&'static str, Value) {
        let mut request = TokenRequest { user, service: String::new(), scopes: Vec::new() };
        let query = target.split_once('?').map_or("", |(_, query)| query);
        for (name, value) in query.split('&').filter_map(|pair| pair.split_once('=')) {
            match name {
                "service" => request.service = decoded(value),
                "scope" => request.scopes.extend(decoded(value).split(' ').map(str::to_owned)),
                _ => {}
            }
        }
        let user = request.user.as_deref();
        let entries = request.scopes.iter().filter_map(|scope| {
            let name = scope.split_once(':')?.1.rsplit_once(':')?.0;
            access_entry(scope, |action| (self.rules)(user, name, action))
        });
        let mut claims = token_claims(user.unwrap_or_default(), &[]);
        claims["access"] = entries.collect();
        let token = self.key.token(&claims);
        self.requests.lock().push(request);
        ("200 OK", json!({ "token": token, "access_token": token, "expires_in": 300 }))
    }
}

/// The user of `Basic` credentials; `None` when the password is wrong.
fn user_of(header: &str) -> Option<String> {
    let decoded = STANDARD.decode(header.strip_prefix("Basic ")?).ok()?;
    let text = String::from_utf8(decoded).ok()?;
    let (user, password) = text.split_once(':')?;
    (user == password).then(|| user.to_owned())
}

/// A value of `application/x-www-form-urlencoded`.
fn decoded(text: &str) -> String {
    let (mut out, mut rest) = (Vec::new(), text.as_bytes());
    while let [first, tail @ ..] = rest {
        let escaped = tail.get(..2).filter(|_| *first == b'%').and_then(|hex| std::str::from_utf8(hex).ok());
        match escaped.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) => {
                out.push(byte);
                rest = &tail[2..];
            }
            None => {
                out.push(if *first == b'+' { b' ' } else { *first });
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}
