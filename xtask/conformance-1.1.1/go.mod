// The commit of the tag v1.1.1 of the specification. Its suite is a test package, so it is built from a module of ours.
module wharfinger.invalid/conformance-1.1.1

go 1.24

require github.com/opencontainers/distribution-spec/conformance v0.0.0-20250123160558-a139cc423184
