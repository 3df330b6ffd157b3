//! Where a client is, behind proxies.

use std::net::IpAddr;

use http::{HeaderMap, HeaderName};
use ipnet::IpNet;

static X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// Proxies whose `X-Forwarded-For` is believed.
#[derive(Clone, Debug, Default)]
pub struct Proxies(Vec<IpNet>);

impl Proxies {
    /// Those with an address in one of these networks.
    pub fn new(networks: Vec<IpNet>) -> Proxies {
        Proxies(networks)
    }

    /// Where the client is: the last address in `X-Forwarded-For` that is not a proxy's own, where a proxy sent it. What
    /// stands before that one the client may have made up. None where it cannot be told.
    pub fn client(&self, headers: &HeaderMap, peer: Option<IpAddr>) -> Option<IpAddr> {
        let peer = peer?;
        if !is_within(&self.0, peer) {
            return Some(peer);
        }
        let lines = headers.get_all(&X_FORWARDED_FOR).iter().rev();
        let mut last = peer;
        for address in lines.flat_map(|line| line.to_str().unwrap_or("?").rsplit(',')) {
            last = parse(address.trim())?;
            if !is_within(&self.0, last) {
                break;
            }
        }
        Some(last)
    }
}

/// An address, perhaps with a port behind it.
fn parse(text: &str) -> Option<IpAddr> {
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    let with_port = || text.parse::<std::net::SocketAddr>().ok().map(|address| address.ip());
    bare.parse().ok().or_else(with_port)
}

/// A listener on `::` reports IPv4 peers as `::ffff:a.b.c.d`.
pub(crate) fn is_within(networks: &[IpNet], address: IpAddr) -> bool {
    let address = address.to_canonical();
    networks.iter().any(|net| net.contains(&address))
}
