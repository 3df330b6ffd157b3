//! libFuzzer's way into [`wharfinger_fuzz_checks::range`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| wharfinger_fuzz_checks::range::check(data));
