//! libFuzzer's way into [`wharfinger_fuzz_checks::digest_name`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| wharfinger_fuzz_checks::digest_name::check(data));
