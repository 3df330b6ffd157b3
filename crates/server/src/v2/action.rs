//! Method and route to action: the only table.

use http::Method;
use wharfinger_oci::{Action, Route};

/// The action that a request needs: `None` where the route has no such method, `Some(None)` where it is enough to
/// be somebody who may ask at all (`/v2/`).
///
/// | route | method | action |
/// |---|---|---|
/// | `/v2/` | GET, HEAD | - |
/// | `/v2/_catalog` | GET, HEAD | catalog |
/// | `tags/list`, `referrers/<digest>` | GET, HEAD | pull |
/// | `manifests/<reference>` | GET, HEAD | pull |
/// | | PUT | push |
/// | | DELETE | delete |
/// | `blobs/<digest>` | GET, HEAD | pull |
/// | | DELETE | delete |
/// | `blobs/uploads/` | POST | push |
/// | `blobs/uploads/<session>` | GET, HEAD, PATCH, PUT, DELETE | push |
///
/// A mount needs `pull` on its source as well; cancelling one's own upload removes nothing that was acknowledged.
pub fn required_action(method: &Method, route: &Route) -> Option<Option<Action>> {
    let read = *method == Method::GET || *method == Method::HEAD;
    let action = match route {
        Route::Base if read => return Some(None),
        Route::Catalog if read => Action::Catalog,
        Route::Tags(_) | Route::Referrers(..) if read => Action::Pull,
        Route::Manifest(..) | Route::Blob(..) if read => Action::Pull,
        Route::Manifest(..) if *method == Method::PUT => Action::Push,
        Route::Manifest(..) | Route::Blob(..) if *method == Method::DELETE => Action::Delete,
        Route::Uploads(_) if *method == Method::POST => Action::Push,
        Route::Upload(..) if read || [Method::PATCH, Method::PUT, Method::DELETE].contains(method) => {
            Action::Push
        }
        _ => return None,
    };
    Some(Some(action))
}

/// The methods of a route, for `Allow`.
pub(crate) fn allowed_methods(route: &Route) -> &'static str {
    match route {
        Route::Base | Route::Catalog | Route::Tags(_) | Route::Referrers(..) => "GET, HEAD",
        Route::Manifest(..) => "GET, HEAD, PUT, DELETE",
        Route::Blob(..) => "GET, HEAD, DELETE",
        Route::Uploads(_) => "POST",
        Route::Upload(..) => "GET, HEAD, PATCH, PUT, DELETE",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_allow_header_lists_what_the_table_takes() {
        let d = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        let paths = ["", "_catalog", "a/tags/list", "a/manifests/x", "a/blobs/uploads/", "a/blobs/uploads/x"];
        let paths =
            paths.map(str::to_owned).into_iter().chain([format!("a/blobs/{d}"), format!("a/referrers/{d}")]);
        for path in paths {
            let route = Route::parse(&format!("/v2/{path}")).unwrap();
            for method in ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"] {
                let taken = required_action(&method.parse().unwrap(), &route).is_some();
                let listed = allowed_methods(&route).split(", ").any(|allowed| allowed == method);
                assert_eq!(taken, listed, "{method} {route}");
            }
        }
    }
}
