//! Paths of requests.

use wharfinger_oci::Route;

/// `data` is a path as it stands in a request. What parses prints to a path of the same route, of printable ASCII
/// only, for it goes into a `Location` header.
pub fn check(data: &[u8]) {
    let Ok(path) = std::str::from_utf8(data) else { return };
    let Ok(route) = Route::parse(path) else { return };
    let printed = route.to_string();
    assert!(printed.bytes().all(|byte| byte.is_ascii_graphic()), "{printed:?} cannot stand in a header");
    assert_eq!(Route::parse(&printed).as_ref(), Ok(&route), "{printed:?}");
    if let Some(name) = route.repository() {
        assert!(printed.starts_with(&format!("/v2/{name}/")), "{printed:?} is not below {name}");
        assert!(path.starts_with(&format!("/v2/{name}/")), "{path:?} is not below {name}");
    }
}
