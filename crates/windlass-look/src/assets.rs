//! The style sheet, the script and the mark, as they are in `assets/`: compiled in, and kept by browsers for as long as
//! their content is the same, since their addresses hold its hash.

use std::fmt::Write as _;
use std::sync::LazyLock;

use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use ring::digest;

/// One file.
struct Asset {
    name: &'static str,
    media_type: &'static str,
    text: &'static str,
}

const ALL: [Asset; 3] = [
    Asset {
        name: "style.css",
        media_type: "text/css; charset=utf-8",
        text: include_str!("../assets/style.css"),
    },
    Asset {
        name: "live.js",
        media_type: "text/javascript; charset=utf-8",
        text: include_str!("../assets/live.js"),
    },
    Asset { name: "mark.svg", media_type: "image/svg+xml", text: include_str!("../assets/mark.svg") },
];

/// The hash of each file, in their order.
static HASHES: LazyLock<[String; 3]> = LazyLock::new(|| ALL.each_ref().map(|asset| hash(asset.text)));

/// 64 bits tell the versions of a file apart.
const HASH_BYTES: usize = 8;

fn hash(text: &str) -> String {
    let digest = digest::digest(&digest::SHA256, text.as_bytes());
    digest.as_ref().iter().take(HASH_BYTES).fold(String::new(), |mut told, byte| {
        let _ = write!(told, "{byte:02x}");
        told
    })
}

/// Where a page finds that file, below that base: it changes when the file does.
pub fn address(base: &str, name: &str) -> String {
    let at = ALL.iter().position(|asset| asset.name == name);
    let version = at.map_or("", |at| HASHES[at].as_str());
    format!("{base}/assets/{name}?v={version}")
}

/// The file of that name; none if there is none. A browser that asks by the present [`address`] (`query` is what stands
/// behind its `?`) keeps it for good, any other asks again each time.
pub fn asset(name: &str, query: Option<&str>) -> Option<Response> {
    let at = ALL.iter().position(|asset| asset.name == name)?;
    let current = query.is_some_and(|query| query.strip_prefix("v=") == Some(HASHES[at].as_str()));
    let caching = if current { "public, max-age=31536000, immutable" } else { "no-cache" };
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static(ALL[at].media_type)),
        (header::CACHE_CONTROL, HeaderValue::from_static(caching)),
    ];
    Some((headers, ALL[at].text).into_response())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_kept_for_good_only_under_the_address_of_its_content() {
        let caching = |query: Option<&str>| {
            let response = asset("style.css", query).expect("the style sheet");
            response.headers()[header::CACHE_CONTROL].to_str().expect("text").to_owned()
        };
        let address = address("/q", "style.css");
        let query = address.strip_prefix("/q/assets/style.css?").expect("its address");
        assert!(caching(Some(query)).contains("immutable"));
        assert_eq!((caching(Some("v=0")).as_str(), caching(None).as_str()), ("no-cache", "no-cache"));
        assert!(asset("../Cargo.toml", None).is_none());
    }
}
