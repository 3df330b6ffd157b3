//! libFuzzer's way into [`wharfinger_fuzz_checks::midstate`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| wharfinger_fuzz_checks::midstate::check(data));
