//! Where a server is: plain HTTP on a loopback address, nothing else.

use std::net::{IpAddr, SocketAddr, ToSocketAddrs};

use anyhow::{Context as _, Result, bail};

/// Parses `http://HOST:PORT[/]` and refuses whatever is not this machine's loopback: this tool would be a
/// weapon against any other address, and its CPU figures need the server on the same machine.
pub(crate) fn parse_loopback_url(url: &str) -> Result<SocketAddr> {
    let Some(rest) = url.strip_prefix("http://") else {
        bail!("{url:?}: expected http://127.0.0.1:PORT (TLS is not measured)");
    };
    let authority = rest.strip_suffix('/').unwrap_or(rest);
    if authority.is_empty() || authority.contains(['/', '@', '?', '#']) {
        bail!("{url:?}: expected http://HOST:PORT without a path, user or query");
    }
    let addresses = resolve(authority).with_context(|| format!("{url:?}: no such address"))?;
    for address in &addresses {
        if !address.ip().is_loopback() {
            bail!(
                "{url:?}: {} is not a loopback address; this tool only drives servers of this machine",
                address.ip()
            );
        }
    }
    // `localhost` often gives ::1 first while servers listen on 127.0.0.1.
    let preferred = addresses.iter().find(|a| a.is_ipv4()).or(addresses.first());
    preferred.copied().with_context(|| format!("{url:?}: the name has no address"))
}

/// Names other than `localhost` are not looked up: a resolver is an outside service.
fn resolve(authority: &str) -> Result<Vec<SocketAddr>> {
    if let Ok(address) = authority.parse::<SocketAddr>() {
        return Ok(vec![address]);
    }
    if let Ok(ip) = authority.trim_matches(['[', ']']).parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(ip, 80)]);
    }
    let (host, port) = authority.rsplit_once(':').unwrap_or((authority, "80"));
    if host != "localhost" {
        bail!("{host:?} is neither localhost nor a loopback address such as 127.0.0.1");
    }
    let port: u16 = port.parse().with_context(|| format!("{port:?} is not a port"))?;
    Ok((host, port).to_socket_addrs()?.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_addresses_are_taken() {
        assert_eq!(parse_loopback_url("http://127.0.0.1:5000").unwrap().to_string(), "127.0.0.1:5000");
        assert_eq!(parse_loopback_url("http://127.0.0.1:5000/").unwrap().port(), 5000);
        assert_eq!(parse_loopback_url("http://[::1]:5000").unwrap().to_string(), "[::1]:5000");
        assert_eq!(parse_loopback_url("http://127.9.9.9").unwrap().port(), 80);
        assert!(parse_loopback_url("http://localhost:5000").unwrap().ip().is_loopback());
    }

    #[test]
    fn every_other_address_is_refused() {
        for url in [
            "http://192.0.2.1:5000",
            "http://0.0.0.0:5000",
            "http://registry.example:5000",
            "http://127.0.0.1.example:5000",
            "http://127.0.0.1@192.0.2.1:5000",
            "http://[2001:db8::1]:5000",
            "http://[::ffff:192.0.2.1]:5000",
            "https://127.0.0.1:5000",
            "127.0.0.1:5000",
            "http://",
            "http://127.0.0.1:5000/v2/",
            "http://localhost:port",
        ] {
            assert!(parse_loopback_url(url).is_err(), "{url} was accepted");
        }
    }
}
