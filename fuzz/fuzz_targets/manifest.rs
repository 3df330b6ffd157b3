//! libFuzzer's way into [`wharfinger_fuzz_checks::manifest`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| wharfinger_fuzz_checks::manifest::check(data));
