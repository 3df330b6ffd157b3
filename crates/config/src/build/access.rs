//! `access`.

use wharfinger_oci::Action;

use crate::config::access::{Access, Glob, PolicyAction, Rule, TrustedProxy, Who};
use crate::read::Reader;
use crate::tree::Node;

/// Reads the policy table; `identified` says whether `auth` tells who a client is.
pub(super) fn access(reader: &mut Reader<'_, '_>, identified: bool) -> Access {
    // `policy:` with its rules commented out would be no table at all, and open everything.
    for path in ["access.policy", "access.catalog"] {
        if reader.has(path) && !reader.node(path).is_some_and(Node::says_something) {
            reader.error(path, "is empty; name somebody, or remove the key to leave it to auth");
        }
    }
    let access = Access {
        policy: reader.sections("access.policy", rule).unwrap_or_default(),
        catalog: reader.list("access.catalog").unwrap_or_default(),
        trusted_proxy: trusted_proxy(reader),
    };
    let mut all = access.policy.iter().flat_map(|rule| &rule.who).chain(&access.catalog);
    if !identified && access.trusted_proxy.is_none() && all.any(|who| *who != Who::Anonymous) {
        reader.warn("access", "names users, but neither auth nor access.trusted_proxy tells who a client is");
    }
    access
}

fn rule(reader: &mut Reader<'_, '_>) -> Option<Rule> {
    let repositories = filled::<Glob>(reader, "repositories");
    let who = filled::<Who>(reader, "who");
    let actions = filled::<PolicyAction>(reader, "actions");
    Some(Rule {
        repositories: repositories?.into_iter().map(|Glob(pattern)| pattern).collect(),
        who: who?,
        actions: actions?.into_iter().map(|PolicyAction(action)| action).collect::<Vec<Action>>(),
    })
}

/// A list that has to have something in it: a rule without it would never apply.
fn filled<T: crate::value::FromScalar>(reader: &mut Reader<'_, '_>, name: &str) -> Option<Vec<T>> {
    let list = reader.list(name);
    let empty = reader.node(name).is_none_or(|node| !node.says_something());
    if empty {
        reader.error(name, "every rule needs repositories, who and actions, none of them empty");
    }
    list
}

fn trusted_proxy(reader: &mut Reader<'_, '_>) -> Option<TrustedProxy> {
    const HEADER: &str = "access.trusted_proxy.user_header";
    let addresses = reader.list("access.trusted_proxy.addresses").unwrap_or_default();
    let user_header: String = reader.value(HEADER);
    if !super::http::is_header_name(&user_header) {
        reader.error(HEADER, "is not a header's name");
    }
    (!addresses.is_empty()).then_some(TrustedProxy { addresses, user_header })
}
