# Varnish 7 in front of Wharfinger: manifests and small blobs by digest are kept, layers go through, everything else is
# asked for each time. What is not said here is left to Varnish's built-in rules, which run after these: they keep
# nothing that is private, no-cache or no-store, and pass every request with credentials.
vcl 4.1;

import std;

backend default {
    .host = "127.0.0.1";
    .port = "5000";
    # The end of a large push takes as long as the store needs.
    .first_byte_timeout    = 300s;
    .between_bytes_timeout = 300s;
}

# Who may purge: the machines that the registry runs on.
acl purgers {
    "127.0.0.1";
    "::1";
}

sub vcl_recv {
    if (req.method == "PURGE") {
        if (client.ip !~ purgers) {
            return (synth(403, "Not from here"));
        }
        # The key finds every copy, however its URL was written; below, the URL finds what was kept without keys.
        if (req.http.Surrogate-Key ~ "^[A-Za-z0-9._:/-]+$") {
            if (!std.ban("obj.http.Surrogate-Key ~ (^|\s)" + req.http.Surrogate-Key + "(\s|$)")) {
                return (synth(500, std.ban_error()));
            }
        }
        return (purge);
    }

    # A push asks by HEAD whether it has to send a blob: only the registry knows.
    if (req.method == "HEAD" && req.url ~ "/blobs/") {
        return (pass);
    }

    # containerd adds ?ns= to what it pulls through a mirror; content by digest is the same whatever is asked beside it.
    if ((req.method == "GET" || req.method == "HEAD") && req.url ~ "/(blobs|manifests)/sha(256|512):[0-9a-f]+\?") {
        set req.url = regsub(req.url, "\?.*$", "");
    }
}

# One copy, by whatever name clients know this cache.
sub vcl_hash {
    hash_data(req.url);
    return (lookup);
}

sub vcl_backend_response {
    # Layers would push everything else out. They go through from now on, ranges as ranges; copies of them belong on
    # the registry's own disk cache, which proves them.
    if (beresp.status == 200 && std.integer(beresp.http.Content-Length, 0) > 16777216) {
        return (pass(1h));
    }
    # Answers that are not to be kept are asked for side by side, not one after another.
    if (beresp.http.Cache-Control !~ "max-age") {
        set beresp.uncacheable = true;
        set beresp.ttl = 120s;
        return (deliver);
    }
}

sub vcl_deliver {
    unset resp.http.Surrogate-Key;
    if (obj.hits > 0) {
        set resp.http.X-Cache = "HIT";
    } else {
        set resp.http.X-Cache = "MISS";
    }
}

# What Varnish says itself, in the form that clients of a registry read.
sub vcl_synth {
    call answer_as_a_registry;
    return (deliver);
}

sub vcl_backend_error {
    set beresp.http.Content-Type = "application/json";
    set beresp.http.Cache-Control = "no-store";
    set beresp.http.Retry-After = "1";
    set beresp.body = {"{"errors":[{"code":"UNAVAILABLE","message":"the cache in front cannot reach the registry","detail":null}]}"} + {"
"};
    return (deliver);
}

sub answer_as_a_registry {
    set resp.http.Content-Type = "text/plain; charset=utf-8";
    set resp.http.Cache-Control = "no-store";
    set resp.body = resp.reason + {"
"};
}
