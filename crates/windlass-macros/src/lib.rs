//! `derive(Job)`: from a type with its `#[job(…)]` options to an implementation of `windlass::Job`.
//!
//! Everything that can be wrong is told here, at the place where it is written: an option that does not
//! exist, a duration without a unit, a field that the type does not have, a name that no store takes.
//! `options.rs` reads and checks, `write.rs` writes the code. What the options mean is in the
//! documentation of `windlass::Job`.

mod options;
mod write;

use proc_macro::TokenStream;
use syn::{DeriveInput, parse_macro_input};

/// Implements `windlass::Job`; the options of `#[job(…)]` are listed there.
#[proc_macro_derive(Job, attributes(job))]
pub fn derive_job(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    let code = options::read(&input).map(|options| write::job(&input, &options));
    code.unwrap_or_else(syn::Error::into_compile_error).into()
}
