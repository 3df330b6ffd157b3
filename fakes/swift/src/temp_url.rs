//! TempURL: a signature in the query instead of a token (`swift/common/middleware/tempurl.py`).

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;
use sha2::{Sha256, Sha512};

use crate::clock::http_date;
use crate::exchange::Exchange;
use crate::http::{Head, Reply};
use crate::route::Target;

/// Whether a request comes with a signature.
pub(crate) fn is_asked(head: &Head) -> bool {
    head.parameter("temp_url_sig").is_some() || head.parameter("temp_url_expires").is_some()
}

fn invalid() -> Reply {
    Reply::message(401, "401 Unauthorized: Temp URL invalid\n")
        .header("Www-Authenticate", "Swift realm=\"unknown\"")
}

/// Checks the signature of a request.
pub(crate) fn authorize(exchange: &Exchange, target: &Target) -> Result<(), Reply> {
    let head = &exchange.head;
    let options = &exchange.cluster.options;
    let Target::Object { account, container, object } = target else { return Err(invalid()) };
    let signature = head.parameter("temp_url_sig").ok_or_else(invalid)?;
    let expires = head.parameter("temp_url_expires").ok_or_else(invalid)?;
    let until: u64 = expires.parse().map_err(|_| invalid())?;
    let (digest, signature) = digest_of(signature).ok_or_else(invalid)?;
    let state = exchange.cluster.state.lock();
    if until < state.clocks.true_time().seconds()
        || !options.temp_url_digests.iter().any(|allowed| allowed == digest)
    {
        return Err(invalid());
    }
    let path = match head.parameter("temp_url_prefix") {
        None => format!("/v1/{account}/{container}/{object}"),
        Some(prefix) if object.starts_with(prefix) => format!("prefix:/v1/{account}/{container}/{prefix}"),
        Some(_) => return Err(invalid()),
    };
    let of_container = state.container(container).map(|container| &container.metadata);
    let keys = ["temp-url-key", "temp-url-key-2"].into_iter().flat_map(|key| {
        let in_account = state.account.get(&format!("x-account-meta-{key}"));
        let in_container = of_container.and_then(|kept| kept.get(&format!("x-container-meta-{key}")));
        [in_account, in_container].into_iter().flatten()
    });
    let methods: &[&str] = match head.method.as_str() {
        "HEAD" => &["HEAD", "GET", "POST", "PUT"],
        "GET" => &["GET"],
        "PUT" => &["PUT"],
        "POST" => &["POST"],
        "DELETE" => &["DELETE"],
        _ => return Err(invalid()),
    };
    let address =
        head.parameter("temp_url_ip_range").map(|range| format!("ip={range}\n")).unwrap_or_default();
    let good = keys.into_iter().any(|key| {
        methods.iter().any(|method| {
            let text = format!("{address}{method}\n{expires}\n{path}");
            sign(digest, key.as_bytes(), text.as_bytes()).is_some_and(|mac| mac == signature)
        })
    });
    if !good {
        return Err(invalid());
    }
    if head.header("x-object-manifest").is_some() {
        let text = "The header 'X-Object-Manifest' is not allowed in this tempurl";
        return Err(Reply::message(400, text));
    }
    Ok(())
}

/// The digest that a signature was made with, and its bytes: hex by its length, or `sha256:BASE64`.
fn digest_of(signature: &str) -> Option<(&'static str, Vec<u8>)> {
    if let Some((name, rest)) = signature.split_once(':') {
        let digest = ["sha1", "sha256", "sha512"].into_iter().find(|known| *known == name)?;
        let mut padded = rest.trim_end_matches('=').to_owned();
        while padded.len() % 4 != 0 {
            padded.push('=');
        }
        let bytes = URL_SAFE.decode(&padded).or_else(|_| STANDARD.decode(&padded)).ok()?;
        return Some((digest, bytes));
    }
    let bytes = hex::decode(signature).ok()?;
    let digest = match bytes.len() {
        20 => "sha1",
        32 => "sha256",
        64 => "sha512",
        _ => return None,
    };
    Some((digest, bytes))
}

fn sign(digest: &str, key: &[u8], text: &[u8]) -> Option<Vec<u8>> {
    fn mac<M: Mac + KeyInit>(key: &[u8], text: &[u8]) -> Option<Vec<u8>> {
        let mut mac = <M as KeyInit>::new_from_slice(key).ok()?;
        mac.update(text);
        Some(mac.finalize().into_bytes().to_vec())
    }
    match digest {
        "sha1" => mac::<Hmac<Sha1>>(key, text),
        "sha256" => mac::<Hmac<Sha256>>(key, text),
        _ => mac::<Hmac<Sha512>>(key, text),
    }
}

/// What TempURL changes of an answer: metadata is taken away, a file name is added.
pub(crate) fn finish(exchange: &Exchange, target: &Target, mut reply: Reply) -> Reply {
    let head = &exchange.head;
    if !is_asked(head) {
        return reply;
    }
    reply.headers.retain(|(name, _)| {
        let name = name.to_ascii_lowercase();
        !name.starts_with("x-object-meta-") || name.starts_with("x-object-meta-public-")
    });
    let (true, Target::Object { object, .. }) = (reply.is_success(), target) else { return reply };
    if !matches!(head.method.as_str(), "GET" | "HEAD") {
        return reply;
    }
    let own = object.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
    let file = head.parameter("filename");
    let kind = if head.parameter("inline").is_some() { "inline" } else { "attachment" };
    let disposition = match (kind, file, reply.get("content-disposition")) {
        ("inline", None, _) => "inline".to_owned(),
        (_, Some(file), _) => format!("{kind}; filename=\"{file}\"; filename*=UTF-8''{file}"),
        (_, None, Some(stored)) => stored.to_owned(),
        (_, None, None) => format!("{kind}; filename=\"{own}\"; filename*=UTF-8''{own}"),
    };
    reply.headers.retain(|(name, _)| !name.eq_ignore_ascii_case("content-disposition"));
    let until = head.parameter("temp_url_expires").and_then(|text| text.parse().ok()).unwrap_or(0);
    reply.header("Content-Disposition", disposition).header("Expires", http_date(until))
}
