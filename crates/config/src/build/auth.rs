//! `auth`.

use std::path::PathBuf;

use super::storage::chosen;
use crate::config::auth::{Auth, Htpasswd, TokenAuth};
use crate::keys;
use crate::read::Reader;
use crate::value::quoted;

const ALGORITHMS: &str = "auth.token.signingalgorithms";

/// Reads the one way of authentication. Where something is missing the error is noted, and the value does not matter.
pub(super) fn auth(reader: &mut Reader<'_, '_>) -> Auth {
    let found = chosen(reader, "auth");
    if found.len() > 1 {
        reader
            .error("auth", format!("more than one way of authentication: {}; name one", found.join(" and ")));
    }
    if reader.has("auth.htpasswd") {
        htpasswd(reader).map_or(Auth::None, Auth::Htpasswd)
    } else if reader.has("auth.token") {
        token(reader).map_or(Auth::None, Auth::Token)
    } else {
        Auth::None
    }
}

fn htpasswd(reader: &mut Reader<'_, '_>) -> Option<Htpasswd> {
    let realm = reader.required("auth.htpasswd", "realm");
    let path = reader.required("auth.htpasswd", "path");
    Some(Htpasswd { realm: realm?, path: path? })
}

fn token(reader: &mut Reader<'_, '_>) -> Option<TokenAuth> {
    let realm = reader.required("auth.token", "realm");
    let service = reader.required("auth.token", "service");
    let issuer = reader.required("auth.token", "issuer");
    let root_cert_bundle: Option<PathBuf> = reader.optional("auth.token.rootcertbundle");
    let jwks: Option<PathBuf> = reader.optional("auth.token.jwks");
    if root_cert_bundle.is_none() && jwks.is_none() {
        reader.error(
            "auth.token",
            "needs rootcertbundle or jwks: without the issuer's keys no token can be verified",
        );
    }
    Some(TokenAuth {
        realm: realm?,
        service: service?,
        issuer: issuer?,
        root_cert_bundle,
        jwks,
        signing_algorithms: algorithms(reader),
        auto_redirect: reader.value("auth.token.autoredirect"),
        auto_redirect_path: reader.value("auth.token.autoredirectpath"),
    })
}

fn algorithms(reader: &mut Reader<'_, '_>) -> Vec<String> {
    let known: Vec<String> = keys::find(ALGORITHMS)
        .and_then(|key| key.default)
        .map(|list| list.trim_matches(['[', ']']).split(", ").map(str::to_owned).collect())
        .unwrap_or_default();
    let mut given: Vec<String> = reader.list(ALGORITHMS).unwrap_or_default();
    if given.is_empty() {
        return known;
    }
    // Distribution 3 knows ES512, we cannot verify it: refusing such tokens is safe.
    if given.iter().any(|name| name == "ES512") {
        reader.warn(ALGORITHMS, "ES512 is not implemented; tokens signed with it are refused");
        given.retain(|name| name != "ES512");
    }
    for name in given.iter().filter(|name| !known.contains(name)) {
        let message = format!("{} is not accepted; known are {}", quoted(name), known.join(", "));
        reader.error(ALGORITHMS, message);
    }
    if given.is_empty() {
        reader.error(
            ALGORITHMS,
            format!("leaves no algorithm that is accepted; known are {}", known.join(", ")),
        );
    }
    given
}
