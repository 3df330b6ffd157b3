//! `storage.swift`: what Distribution 2.8 takes is taken, with its meaning; what it would only find out at the first
//! request, or never, is told here.

use crate::Secret;
use crate::config::swift::{Swift, SwiftAuth, SwiftCredential, SwiftDomain, SwiftScope};
use crate::read::Reader;
use crate::value::{Size, quoted};

const SECTION: &str = "storage.swift";
const MIB: u64 = 1 << 20;
/// Swift's default limit of one object, rounded down (`max_file_size` in swift.conf).
const LARGEST_SEGMENT: u64 = 5 << 30;
/// Bytes of a container's name (`max_container_name_length` in swift.conf).
const LONGEST_CONTAINER: usize = 256;

/// Reads the section. Where something is missing or contradicts itself the error is noted.
pub(super) fn swift(reader: &mut Reader<'_, '_>) -> Option<Swift> {
    let auth = auth(reader);
    let container = container(reader);
    let storage_url = optional_url(reader, "storageurl");
    let prefix: String = optional(reader, "prefix").unwrap_or_default();
    let swift = Swift {
        auth: auth?,
        container: container?,
        region: optional(reader, "region"),
        interface: reader.value("storage.swift.endpointtype"),
        storage_url,
        prefix: prefix.trim_start_matches('/').to_owned(),
        insecure_skip_verify: reader.value("storage.swift.insecureskipverify"),
        segment_size: segment_size(reader),
        objects: reader.value("storage.swift.objects"),
        concurrency: concurrency(reader),
        connect_timeout: timeout(reader, "storage.swift.connecttimeout"),
        response_timeout: timeout(reader, "storage.swift.responsetimeout"),
        temp_url_key: optional(reader, "secretkey"),
        temp_url_container_key: reader.value("storage.swift.tempurlcontainerkey"),
    };
    Some(swift)
}

fn path(name: &str) -> String {
    format!("{SECTION}.{name}")
}

fn optional<T: crate::value::FromScalar>(reader: &mut Reader<'_, '_>, name: &str) -> Option<T> {
    reader.optional(&path(name))
}

fn given(reader: &Reader<'_, '_>, name: &str) -> bool {
    reader.node(&path(name)).is_some_and(crate::tree::Node::says_something)
}

fn auth(reader: &mut Reader<'_, '_>) -> Option<SwiftAuth> {
    let url = required_url(reader, "authurl");
    let application = ["applicationcredentialid", "applicationcredentialname", "applicationcredentialsecret"]
        .into_iter()
        .find(|name| given(reader, name));
    let version = version(reader, url.as_deref(), application.is_some())?;
    if let (Some(name), 1 | 2) = (application, version) {
        reader.error(&path(name), format!("needs authentication of version 3, not {version}"));
        return None;
    }
    match version {
        1 => {
            without_effect(reader, version, V3_ONLY);
            without_effect(reader, version, &["tenant", "tenantid", "region", "endpointtype"]);
            let user = reader.required(SECTION, "username");
            let key = reader.required(SECTION, "password");
            Some(SwiftAuth::V1 { url: url?, user: user?, key: key? })
        }
        2 => {
            without_effect(reader, version, V3_ONLY);
            let user = reader.required(SECTION, "username");
            let password = reader.required(SECTION, "password");
            let (tenant, tenant_id) = (optional(reader, "tenant"), optional(reader, "tenantid"));
            Some(SwiftAuth::V2 { url: url?, user: user?, password: password?, tenant, tenant_id })
        }
        _ => {
            let credential = credential(reader);
            let scope = scope(reader, application.is_some());
            Some(SwiftAuth::V3 { url: url?, credential: credential?, scope })
        }
    }
}

/// The version that is asked for, else the one that stands in the URL: v3, v2, v1, in this order (Distribution's).
fn version(reader: &mut Reader<'_, '_>, url: Option<&str>, application: bool) -> Option<u64> {
    const VERSION: &str = "storage.swift.authversion";
    match reader.value(VERSION) {
        0 if application => Some(3),
        0 => {
            let url = url?;
            let found = [3, 2, 1].into_iter().find(|version| url.contains(&format!("v{version}")));
            if found.is_none() {
                let message = "has to be 1, 2 or 3: storage.swift.authurl has no v1, v2 or v3 in it";
                reader.error(VERSION, message);
            }
            found
        }
        version @ 1..=3 => Some(version),
        other => {
            let message = format!("has to be 1, 2 or 3, or 0 to take it from the URL; not {other}");
            reader.error(VERSION, message);
            None
        }
    }
}

const V3_ONLY: &[&str] = &["domain", "domainid", "tenantdomain", "tenantdomainid", "trustid"];

/// Keys that this version of authentication has no use for. Where the file names the version itself it contradicts
/// itself; a guessed one may be the wrong guess, and Distribution goes on.
fn without_effect(reader: &mut Reader<'_, '_>, version: u64, names: &[&str]) {
    let chosen = given(reader, "authversion");
    for name in names {
        if !given(reader, name) {
            continue;
        }
        let place = path(name);
        // These say where, not who: nothing is asked for that the token would not have.
        if chosen && !matches!(*name, "region" | "endpointtype") {
            let message =
                format!("contradicts authversion {version}, which has no such thing: remove one of them");
            reader.error(&place, message);
        } else {
            reader.warn(&place, format!("has no effect with authentication of version {version}"));
        }
    }
}

fn credential(reader: &mut Reader<'_, '_>) -> Option<SwiftCredential> {
    let id: Option<String> = optional(reader, "applicationcredentialid");
    let name: Option<String> = optional(reader, "applicationcredentialname");
    if id.is_none() && name.is_none() {
        if given(reader, "applicationcredentialsecret") {
            let message = "needs applicationcredentialid or applicationcredentialname";
            reader.error("storage.swift.applicationcredentialsecret", message);
            return None;
        }
        let user = reader.required(SECTION, "username");
        let password = reader.required(SECTION, "password");
        return Some(SwiftCredential::Password {
            user: user?,
            domain: user_domain(reader),
            password: password?,
        });
    }
    for other in ["password", "trustid", "tenant", "tenantid", "tenantdomain", "tenantdomainid"] {
        if given(reader, other) {
            let message =
                "contradicts the application credential, which brings user and project with it: remove one";
            reader.error(&path(other), message);
        }
    }
    if id.is_some() && name.is_some() {
        let message =
            "contradicts applicationcredentialid: an application credential is named by one of them";
        reader.error("storage.swift.applicationcredentialname", message);
        return None;
    }
    let secret: Option<Secret> = optional(reader, "applicationcredentialsecret");
    if secret.is_none() {
        let message = "has to be given with an application credential";
        reader.error("storage.swift.applicationcredentialsecret", message);
    }
    match (id, name) {
        (Some(id), _) => Some(SwiftCredential::ApplicationId { id, secret: secret? }),
        (None, name) => {
            let user: Option<String> = optional(reader, "username");
            if user.is_none() {
                let message = "has to be given with applicationcredentialname: names are the user's own";
                reader.error("storage.swift.username", message);
            }
            let domain = user_domain(reader);
            Some(SwiftCredential::ApplicationName { name: name?, user: user?, domain, secret: secret? })
        }
    }
}

/// The user's domain. Without one Distribution asks Keystone in a way that it refuses.
fn user_domain(reader: &mut Reader<'_, '_>) -> SwiftDomain {
    domain(reader, "domain", "domainid").unwrap_or_else(|| SwiftDomain::Name("Default".to_owned()))
}

fn domain(reader: &mut Reader<'_, '_>, name: &str, id: &str) -> Option<SwiftDomain> {
    let (name, id) = (optional(reader, name), optional(reader, id));
    name.map(SwiftDomain::Name).or(id.map(SwiftDomain::Id))
}

fn scope(reader: &mut Reader<'_, '_>, application: bool) -> SwiftScope {
    if application {
        return SwiftScope::Unscoped;
    }
    let project_domain = domain(reader, "tenantdomain", "tenantdomainid");
    let trust = optional(reader, "trustid").map(SwiftScope::Trust);
    let by_id = optional(reader, "tenantid").map(SwiftScope::ProjectId);
    let by_name = optional(reader, "tenant").map(|name| SwiftScope::Project {
        name,
        domain: project_domain.unwrap_or_else(|| user_domain(reader)),
    });
    trust.or(by_id).or(by_name).unwrap_or(SwiftScope::Unscoped)
}

fn container(reader: &mut Reader<'_, '_>) -> Option<String> {
    let container: String = reader.required(SECTION, "container")?;
    if container.contains('/') || container.len() > LONGEST_CONTAINER {
        let message = format!(
            "has to be a container's name, at most {LONGEST_CONTAINER} bytes without a slash, not {}",
            quoted(&container)
        );
        reader.error("storage.swift.container", message);
    }
    Some(container)
}

fn required_url(reader: &mut Reader<'_, '_>, name: &str) -> Option<String> {
    let url = reader.required(SECTION, name)?;
    checked_url(reader, name, url)
}

fn optional_url(reader: &mut Reader<'_, '_>, name: &str) -> Option<String> {
    let url = optional(reader, name)?;
    checked_url(reader, name, url)
}

fn checked_url(reader: &mut Reader<'_, '_>, name: &str, url: String) -> Option<String> {
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
    if rest.is_some_and(|rest| !rest.is_empty() && !rest.starts_with('/')) {
        return Some(url);
    }
    reader.error(
        &path(name),
        format!("has to be a URL that begins with https:// or http://, not {}", quoted(&url)),
    );
    None
}

fn segment_size(reader: &mut Reader<'_, '_>) -> u64 {
    const OURS: &str = "storage.swift.segmentsize";
    const DISTRIBUTION: &str = "storage.swift.chunksize";
    let chunk: Option<Size> = reader.optional(DISTRIBUTION);
    if let Some(Size(chunk)) = chunk.filter(|chunk| !(MIB..=LARGEST_SEGMENT).contains(&chunk.0)) {
        reader.error(DISTRIBUTION, format!("has to be 1048576 (1 MiB) to 5 GiB, not {chunk}"));
    }
    let own: Option<Size> = reader.optional(OURS);
    if let Some(Size(size)) = own.filter(|size| !(MIB..=LARGEST_SEGMENT).contains(&size.0)) {
        reader.error(OURS, format!("has to be 1 MiB to 5 GiB, not {size} bytes"));
    }
    let Size(size) = own.or(chunk).unwrap_or_else(|| reader.value(OURS));
    size
}

fn concurrency(reader: &mut Reader<'_, '_>) -> usize {
    const CONCURRENCY: &str = "storage.swift.concurrency";
    let most: u64 = reader.value(CONCURRENCY);
    if most == 0 {
        reader.error(CONCURRENCY, "has to be 1 or more");
    }
    usize::try_from(most).unwrap_or(usize::MAX)
}

fn timeout(reader: &mut Reader<'_, '_>, place: &str) -> std::time::Duration {
    let timeout: std::time::Duration = reader.value(place);
    if timeout.is_zero() {
        reader.error(place, "has to be longer than 0");
    }
    timeout
}
