//! Tokens, where a front asks for them (distribution's token authentication).

use http::HeaderMap;
use http::header::WWW_AUTHENTICATE;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

/// Where a token is to be had.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Challenge {
    realm: String,
    service: Option<String>,
}

impl Challenge {
    /// What a 401 asks for, where that is a token.
    pub(super) fn of(headers: &HeaderMap) -> Option<Challenge> {
        let values = headers.get_all(WWW_AUTHENTICATE).into_iter();
        let text = values.filter_map(|value| value.to_str().ok()).find_map(|text| {
            let (scheme, rest) = text.trim().split_once(' ')?;
            scheme.eq_ignore_ascii_case("bearer").then_some(rest)
        })?;
        let parameter = |name: &str| {
            let start = text.find(&format!("{name}=\""))? + name.len() + 2;
            text[start..].split('"').next().map(str::to_owned)
        };
        Some(Challenge { realm: parameter("realm")?, service: parameter("service") })
    }

    /// The URL that gives a token to pull from a repository.
    pub(super) fn url(&self, repository: &str) -> String {
        let quote = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
        let before = if self.realm.contains('?') { '&' } else { '?' };
        let service = self.service.as_deref().map(|service| format!("service={}&", quote(service)));
        let scope = quote(&format!("repository:{repository}:pull"));
        format!("{}{before}{}scope={scope}", self.realm, service.unwrap_or_default())
    }
}

/// The token in an answer.
pub(super) fn token(body: &[u8]) -> Option<String> {
    let body: serde_json::Value = serde_json::from_slice(body).ok()?;
    body["token"].as_str().or_else(|| body["access_token"].as_str()).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_challenge_says_where_a_token_is_to_be_had() {
        let mut headers = HeaderMap::new();
        assert_eq!(Challenge::of(&headers), None);
        headers.append(WWW_AUTHENTICATE, "Basic realm=\"x\"".parse().unwrap());
        assert_eq!(Challenge::of(&headers), None);
        let bearer = "Bearer realm=\"https://a/token\",service=\"the registry\",scope=\"x\"";
        headers.append(WWW_AUTHENTICATE, bearer.parse().unwrap());
        let url = Challenge::of(&headers).unwrap().url("team/app");
        let scope = "repository%3Ateam%2Fapp%3Apull";
        assert_eq!(url, format!("https://a/token?service=the%20registry&scope={scope}"));
        assert_eq!(token(br#"{"access_token":"t"}"#), Some("t".into()));
    }
}
