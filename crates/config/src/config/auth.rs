//! How clients show who they are.

use std::path::PathBuf;

/// The one way of authentication.
#[derive(Clone, Debug, PartialEq)]
pub enum Auth {
    /// None: every client is anonymous.
    None,
    /// Basic authentication against an htpasswd file.
    Htpasswd(Htpasswd),
    /// Bearer tokens from an outside issuer.
    Token(TokenAuth),
}

/// Basic authentication.
#[derive(Clone, Debug, PartialEq)]
pub struct Htpasswd {
    /// Realm in the challenge.
    pub realm: String,
    /// The htpasswd file; bcrypt entries only.
    pub path: PathBuf,
}

/// Distribution's token scheme.
#[derive(Clone, Debug, PartialEq)]
pub struct TokenAuth {
    /// URL of the token server.
    pub realm: String,
    /// The name of this registry, expected as audience.
    pub service: String,
    /// The expected issuer.
    pub issuer: String,
    /// PEM file with the issuer's certificates.
    pub root_cert_bundle: Option<PathBuf>,
    /// JSON file with the issuer's keys.
    pub jwks: Option<PathBuf>,
    /// Signature algorithms that are accepted (names of RFC 7518); asymmetric ones only.
    pub signing_algorithms: Vec<String>,
    /// Build the realm from the request's host and `auto_redirect_path` instead of `realm`.
    pub auto_redirect: bool,
    /// Path of the realm with `auto_redirect`.
    pub auto_redirect_path: String,
}
