//! Writes the implementation of `windlass::Job`.

use crate::options::{Options, Piece, Retry, Scope, Template, Unique, snake_case};
use proc_macro2::TokenStream;
use quote::{format_ident, quote};
use syn::ext::IdentExt;
use syn::{DeriveInput, parse_quote};

/// The queue of a job that names none.
const QUEUE: &str = "default";
/// Failures of a policy that names none: as many as the default policy has.
const MAX_FAILURES: u32 = 12;

/// The implementation for that type.
pub(crate) fn job(input: &DeriveInput, options: &Options) -> TokenStream {
    let name = &input.ident;
    let mut generics = input.generics.clone();
    for parameter in generics.type_params_mut() {
        // A generic job is a job for every argument that can be in a payload.
        parameter.bounds.push(parse_quote!(::windlass::__private::PayloadPart));
    }
    let (generics, arguments, bounds) = generics.split_for_impl();
    let kind = options.kind.clone().unwrap_or_else(|| snake_case(&name.unraw().to_string()));
    let queue = options.queue.as_deref().unwrap_or(QUEUE);
    let aliases = &options.aliases;
    let sets = sets(options);
    let body = (!sets.is_empty()).then(|| {
        quote! {
            fn options(&self) -> ::windlass::JobOptions {
                let mut options = ::windlass::JobOptions::default();
                #(#sets)*
                options
            }
        }
    });
    quote! {
        #[automatically_derived]
        impl #generics ::windlass::Job for #name #arguments #bounds {
            const KIND: &'static str = #kind;
            const QUEUE: &'static str = #queue;
            const ALIASES: &'static [&'static str] = &[#(#aliases),*];
            #body
        }
    }
}

/// One statement for each option given.
fn sets(options: &Options) -> Vec<TokenStream> {
    let mut sets = Vec::new();
    if let Some(priority) = options.priority {
        sets.push(quote!(options.priority = #priority;));
    }
    let times =
        [("timeout", options.timeout_ms), ("delay", options.delay_ms), ("expires_in", options.expires_in_ms)];
    for (field, ms) in times {
        if let Some(ms) = ms {
            let field = format_ident!("{field}");
            sets.push(quote!(options.#field = ::core::option::Option::Some(::core::time::Duration::from_millis(#ms));));
        }
    }
    if let Some(policy) = retry(options) {
        sets.push(quote!(options.retry = ::core::option::Option::Some(#policy);));
    }
    if let Some(group) = &options.group {
        sets.push(quote! {
            options.group = ::core::option::Option::Some(::windlass::__private::key_text(&self.#group));
        });
    }
    if let Some(unique) = &options.unique {
        let unique = self::unique(unique);
        sets.push(quote!(options.unique = ::core::option::Option::Some(#unique);));
    }
    for tag in &options.tags {
        let tag = template(tag);
        sets.push(quote!(options.tags.push(#tag);));
    }
    for (limit, cost) in &options.limits {
        let limit = template(limit);
        sets.push(quote!(options.limits.push((#limit, #cost));));
    }
    sets
}

fn retry(options: &Options) -> Option<TokenStream> {
    let max = options.max_failures.unwrap_or(MAX_FAILURES);
    match &options.retry {
        None => options.max_failures.map(|max| quote!(::windlass::__private::default_retry(#max))),
        Some(Retry::Exponential { base_ms, cap_ms }) => Some(quote! {
            ::windlass::__private::RetryPolicy::Exponential {
                base_ms: #base_ms,
                cap_ms: #cap_ms,
                max_failures: #max,
                jitter: ::windlass::__private::Jitter::Full,
            }
        }),
        Some(Retry::Fixed { delay_ms }) => Some(quote! {
            ::windlass::__private::RetryPolicy::Fixed { delay_ms: #delay_ms, max_failures: #max }
        }),
        Some(Retry::List { delays_ms }) => Some(quote! {
            ::windlass::__private::RetryPolicy::List { delays_ms: ::std::vec![#(#delays_ms),*] }
        }),
    }
}

fn unique(unique: &Unique) -> TokenStream {
    let key = match unique.by.as_slice() {
        [field] => quote!(::windlass::__private::key_text(&self.#field)),
        fields => quote! {
            ::windlass::__private::joined_key(&[#(::windlass::__private::json_text(&self.#fields)),*])
        },
    };
    let scope = match unique.scope {
        Scope::WhileLive => quote!(WhileLive),
        Scope::UntilStart => quote!(UntilStart),
        Scope::For { ttl_ms } => quote!(For { ttl_ms: #ttl_ms }),
    };
    let on_conflict = format_ident!("{}", unique.on_conflict);
    quote! {
        ::windlass::UniqueBy {
            key: #key,
            scope: ::windlass::__private::UniqueScope::#scope,
            on_conflict: ::windlass::__private::OnConflict::#on_conflict,
        }
    }
}

fn template(template: &Template) -> TokenStream {
    let pieces = template.0.iter().map(|piece| match piece {
        Piece::Text(text) => quote!(text.push_str(#text);),
        Piece::Field(field) => quote!(text.push_str(&::windlass::__private::key_text(&self.#field));),
    });
    quote! {{
        let mut text = ::std::string::String::new();
        #(#pieces)*
        text
    }}
}
