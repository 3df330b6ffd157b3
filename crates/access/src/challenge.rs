//! Writing `WWW-Authenticate` (RFC 7617, RFC 6750 and Distribution's "Token Authentication Specification").

use http::HeaderValue;
use wharfinger_oci::Action;

use crate::Resource;

/// `Basic realm="..."`.
pub(crate) fn basic(realm: &str) -> Option<HeaderValue> {
    HeaderValue::from_str(&format!("Basic realm={}", quoted(realm))).ok()
}

/// `Bearer realm="...",service="...",scope="...",error="..."`; the latter two as far as there are any.
pub(crate) fn bearer(
    realm: &str,
    service: &str,
    wanted: &[(Resource<'_>, Vec<Action>)],
    error: Option<&str>,
) -> Option<HeaderValue> {
    let mut text = format!("Bearer realm={},service={}", quoted(realm), quoted(service));
    let scopes: Vec<String> = wanted.iter().filter_map(scope).collect();
    if !scopes.is_empty() {
        text.push_str(",scope=");
        text.push_str(&quoted(&scopes.join(" ")));
    }
    if let Some(error) = error {
        text.push_str(",error=");
        text.push_str(&quoted(error));
    }
    HeaderValue::from_str(&text).ok()
}

/// `repository:NAME:pull,push` or `registry:catalog:*`; nothing for `/v2/` itself.
fn scope((resource, actions): &(Resource<'_>, Vec<Action>)) -> Option<String> {
    if actions.is_empty() {
        return None;
    }
    match resource {
        Resource::Registry => Some("registry:catalog:*".to_owned()),
        Resource::Repository(name) => {
            let actions: Vec<&str> = actions.iter().map(|action| action.as_str()).collect();
            Some(format!("repository:{name}:{}", actions.join(",")))
        }
    }
}

/// A quoted-string of RFC 9110, section 5.6.4; what cannot stand in a header is left out.
fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars().filter(|c| matches!(c, ' '..='~')) {
        if matches!(c, '"' | '\\') {
            out.push('\\');
        }
        out.push(c);
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use wharfinger_oci::RepositoryName;

    use super::*;

    #[test]
    fn a_realm_cannot_break_out_of_its_quotes() {
        assert_eq!(basic("a\"b\\c\r\nX: y").unwrap(), r#"Basic realm="a\"b\\cX: y""#);
    }

    #[test]
    fn the_scopes_are_those_wanted() {
        let (a, b) = (RepositoryName::parse("a/b").unwrap(), RepositoryName::parse("c").unwrap());
        let wanted = [
            (Resource::Repository(&a), vec![Action::Pull, Action::Push]),
            (Resource::Repository(&b), vec![Action::Pull]),
        ];
        assert_eq!(
            bearer("https://auth/token", "reg", &wanted, Some("insufficient_scope")).unwrap(),
            "Bearer realm=\"https://auth/token\",service=\"reg\",\
             scope=\"repository:a/b:pull,push repository:c:pull\",error=\"insufficient_scope\""
        );
        assert_eq!(
            bearer("r", "s", &[(Resource::Registry, vec![Action::Catalog])], None).unwrap(),
            r#"Bearer realm="r",service="s",scope="registry:catalog:*""#
        );
        assert_eq!(
            bearer("r", "s", &[(Resource::Registry, vec![])], None).unwrap(),
            r#"Bearer realm="r",service="s""#
        );
    }
}
