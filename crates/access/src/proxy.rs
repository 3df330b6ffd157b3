//! The user that a trusted proxy names.

use std::net::IpAddr;
use std::sync::Arc;

use http::HeaderMap;

use crate::{Identity, Refused, TrustedProxyConfig};

/// The user named in the header, when the peer is the proxy. `None`: go on with the caller's own credentials.
pub(crate) fn identify(
    config: &TrustedProxyConfig,
    headers: &HeaderMap,
    peer: Option<IpAddr>,
) -> Result<Option<Identity>, Refused> {
    let mut values = headers.get_all(&config.user_header).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if !is_trusted(config, peer) {
        tracing::debug!(header = %config.user_header, ?peer, "ignored the user header of a peer that is no trusted proxy");
        return Ok(None);
    }
    // Two values mean that the proxy let the client's own header through.
    if values.next().is_some() {
        let header = &config.user_header;
        return Err(Refused::unauthenticated(format!("the proxy sent more than one {header} header")));
    }
    match value.to_str().map(str::trim) {
        Ok("") => Ok(None),
        Ok(name) => Ok(Some(Identity::User(Arc::from(name)))),
        Err(_) => {
            let header = &config.user_header;
            Err(Refused::unauthenticated(format!("the proxy's {header} header is not plain text")))
        }
    }
}

/// A listener on `::` reports IPv4 peers as `::ffff:a.b.c.d`, which an operator's `a.b.c.d/n` must match.
fn is_trusted(config: &TrustedProxyConfig, peer: Option<IpAddr>) -> bool {
    peer.is_some_and(|peer| {
        let canonical = peer.to_canonical();
        config.addresses.iter().any(|net| net.contains(&canonical) || net.contains(&peer))
    })
}
