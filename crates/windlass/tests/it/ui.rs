//! What people read when they get it wrong.

#[test]
fn compile_errors_say_what_to_do() {
    let cases = trybuild::TestCases::new();
    cases.compile_fail("tests/ui/*.rs");
}
