#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fieldseal_fuzz::targets::beside(bytes));
