//! Digests, repository names, tags and session ids, and the keys made of them.

use std::sync::LazyLock;

use regex::Regex;
use wharfinger_oci::{Digest, Reference, RepositoryName, Tag};
use wharfinger_registry::{SessionId, layout};

/// `<name>` as the distribution-spec writes it.
#[expect(clippy::expect_used, reason = "a constant expression")]
static NAME: LazyLock<Regex> = LazyLock::new(|| {
    let component = r"[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*";
    Regex::new(&format!(r"\A{component}(/{component})*\z")).expect("a regular expression")
});

/// A tag as the distribution-spec writes it.
#[expect(clippy::expect_used, reason = "a constant expression")]
static TAG: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"\A[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}\z").expect("a regular expression"));

/// `data` is a text that is tried as each of them. What parses prints as it came, the grammars are the
/// specification's, and no key leaves its place.
pub fn check(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let name = RepositoryName::parse(text);
    assert_eq!(name.is_ok(), text.len() <= 255 && NAME.is_match(text), "{text:?} as a name");
    let tag = Tag::parse(text);
    assert_eq!(tag.is_ok(), TAG.is_match(text), "{text:?} as a tag");
    let digest = Digest::parse(text);
    if let Ok(name) = &name {
        assert_eq!(name.to_string(), text);
        assert!(!text.contains("..") && !text.starts_with('/'), "{text:?}");
    }
    if let Ok(digest) = &digest {
        assert_eq!(digest.to_string(), text);
        assert_eq!(Digest::from_hex(digest.algorithm(), &digest.hex()).as_ref(), Ok(digest));
    }
    if let Ok(reference) = Reference::parse(text) {
        assert_eq!(reference.to_string(), text);
        assert!(tag.is_ok() != digest.is_ok(), "{text:?} is a tag and a digest");
    }
    let session = SessionId::parse(text);
    if let Some(session) = &session {
        assert_eq!(session.to_string(), text);
    }
    check_keys(name.ok(), tag.ok(), digest.ok(), session);
}

/// Keys of whatever the text was, other parts taken from elsewhere.
fn check_keys(
    name: Option<RepositoryName>,
    tag: Option<Tag>,
    digest: Option<Digest>,
    session: Option<SessionId>,
) {
    if let Some(session) = session {
        assert!(layout::upload_session(&session).is_legal());
        assert!(layout::upload_data(&session).is_legal());
    }
    if name.is_none() && tag.is_none() && digest.is_none() {
        return;
    }
    let (Ok(any_name), Ok(any_tag)) = (RepositoryName::parse("a"), Tag::parse("a")) else { return };
    let (name, tag) = (name.unwrap_or(any_name), tag.unwrap_or(any_tag));
    let digest = digest.unwrap_or_else(|| Digest::sha256(b""));
    for key in [
        layout::blob_data(&digest),
        layout::chunk_index(&digest),
        layout::layer_link(&name, &digest),
        layout::revision_link(&name, &digest),
        layout::tag_current(&name, &tag),
        layout::tag_index_link(&name, &tag, &digest),
        layout::referrer(&name, &digest, &digest),
    ] {
        assert!(key.is_legal() && !key.as_str().contains("/../"), "{key}");
    }
    // No repository may reach into another one's links: names have no component that begins with `_`.
    let own = layout::repository(name.as_str());
    let below = layout::tag_current(&name, &tag);
    let rest = below.as_str().strip_prefix(own.as_str());
    assert!(rest.is_some_and(|rest| rest.starts_with("/_manifests/tags/")), "{below}");
    assert_eq!(
        rest.map(|rest| rest.matches("/_").count()),
        Some(1 + usize::from(tag.as_str().starts_with('_')))
    );
    assert!(!own.as_str().contains("/_"), "{own}");
}
