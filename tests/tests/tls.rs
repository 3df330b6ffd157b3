//! TLS: both protocols, certificates replaced under open connections.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "test code: a panic is the report")]

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;
use rustls::{ClientConnection, StreamOwned};
use wharfinger_test_support::{Authority, Image, Registry, Request, wait_until};

/// A handshake that offers these protocols.
fn handshake(
    registry: &Registry,
    authority: &Authority,
    protocols: &[&str],
) -> StreamOwned<ClientConnection, TcpStream> {
    let socket = TcpStream::connect(("127.0.0.1", registry.client().port())).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let config = Arc::new(authority.client_config(protocols));
    let connection = ClientConnection::new(config, ServerName::try_from("127.0.0.1").unwrap()).unwrap();
    let mut stream = StreamOwned::new(connection, socket);
    while stream.conn.is_handshaking() {
        stream.conn.complete_io(&mut stream.sock).unwrap();
    }
    stream
}

fn shown(stream: &StreamOwned<ClientConnection, TcpStream>) -> Vec<u8> {
    stream.conn.peer_certificates().unwrap()[0].to_vec()
}

#[test]
fn an_image_goes_through_tls() {
    let authority = Authority::new();
    let registry = Registry::builder().tls(&authority).start();
    let (api, image) = (registry.api(), Image::layered(wharfinger_test_support::Style::Oci, 1, 3, 2_000_000));
    api.push_image("tls", "v1", &image);
    assert_eq!(api.pull("tls", "v1").manifest, image.manifest);
    let answer = api.send(Request::new("POST", "/v2/tls/blobs/uploads/").body("")).expect(202);
    assert!(
        answer.required("location").starts_with("https://") || answer.required("location").starts_with('/')
    );
}

#[test]
fn http_2_is_offered_and_spoken() {
    let authority = Authority::new();
    let registry = Registry::builder().tls(&authority).start();
    let mut stream = handshake(&registry, &authority, &["h2", "http/1.1"]);
    assert_eq!(stream.conn.alpn_protocol(), Some(&b"h2"[..]));
    stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").unwrap();
    stream.write_all(&frame(4, 0, 0, b"")).unwrap();
    // GET, https, and two literals: the path and the authority (RFC 7541, section 6.2.2).
    let mut block = vec![0x82, 0x87];
    for (index, value) in [(0x04, "/v2/"), (0x01, "localhost")] {
        block.extend([index, value.len() as u8]);
        block.extend(value.as_bytes());
    }
    stream.write_all(&frame(1, 0x5, 1, &block)).unwrap();
    stream.flush().unwrap();
    loop {
        let mut head = [0; 9];
        stream.read_exact(&mut head).unwrap();
        let length = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
        let mut payload = vec![0; length];
        stream.read_exact(&mut payload).unwrap();
        assert!(![3, 7].contains(&head[3]), "the server reset the stream: {payload:?}");
        if head[3] == 1 {
            // 0x88 is `:status: 200` of the static table.
            assert_eq!(payload[0], 0x88, "another status than 200");
            return;
        }
    }
}

/// An HTTP/2 frame (RFC 9113, section 4.1).
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut frame = (payload.len() as u32).to_be_bytes()[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

#[test]
fn http_2_can_be_switched_off() {
    let authority = Authority::new();
    let registry = Registry::builder().tls(&authority).set("http.http2.disabled", true).start();
    let stream = handshake(&registry, &authority, &["h2", "http/1.1"]);
    assert_eq!(stream.conn.alpn_protocol(), Some(&b"http/1.1"[..]));
}

#[test]
fn a_new_certificate_is_shown_without_dropping_a_connection() {
    let authority = Authority::new();
    let registry = Registry::builder().tls(&authority).start();
    let mut open = registry.client().connect().unwrap();
    open.send(&Request::new("GET", "/v2/")).unwrap().expect(200);
    let before = shown(&handshake(&registry, &authority, &["http/1.1"]));
    assert_eq!(before, registry.identity().der);
    let next = authority.issue(registry.directory());
    assert_ne!(before, next.der);
    wait_until("the new certificate to be shown", Duration::from_secs(20), || {
        shown(&handshake(&registry, &authority, &["http/1.1"])) == next.der
    });
    open.send(&Request::new("GET", "/v2/")).unwrap().expect(200);
}

#[test]
fn a_broken_certificate_leaves_the_old_one_in_use() {
    let authority = Authority::new();
    let registry = Registry::builder().tls(&authority).allow_log("certificate").start();
    std::fs::write(&registry.identity().certificate, "not a certificate").unwrap();
    wait_until("the server to complain", Duration::from_secs(20), || {
        registry.log().iter().any(|line| line.is_alarming() && line.text.contains("certificate"))
    });
    registry.api().get("/v2/").expect(200);
}

#[test]
fn a_start_without_its_certificate_is_refused_with_the_file_named() {
    let (status, output) = Registry::builder()
        .set("http.tls.certificate", "/nowhere/server.crt")
        .set("http.tls.key", "/nowhere/server.key")
        .start_in_vain();
    assert!(!status.success());
    assert!(output.contains("/nowhere/server."), "{output}");
}

#[test]
fn plain_http_on_the_tls_port_does_no_harm() {
    let authority = Authority::new();
    let registry = Registry::builder().tls(&authority).start();
    let plain = wharfinger_test_support::Client::plain(registry.client().port());
    assert!(plain.send(&Request::new("GET", "/v2/")).is_err());
    registry.api().get("/v2/").expect(200);
}
