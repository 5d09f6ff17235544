//! Whether a mail can be unsubscribed from with one click, as RFC 2369 and RFC 8058 and the large mailboxes want it.

use serde::Serialize;

/// What is thought of a mail's List-Unsubscribe.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Verdict {
    /// One click is enough.
    pub(crate) one_click: bool,
    /// Where the click would go.
    pub(crate) url: Option<String>,
    /// Where a mail would go.
    pub(crate) mailto: Option<String>,
    /// What is wrong, each a whole sentence.
    pub(crate) problems: Vec<&'static str>,
    /// What this server cannot judge or allows on one machine only.
    pub(crate) notes: Vec<&'static str>,
}

/// Judges the two fields of a header, and whether it is signed.
pub(crate) fn judge(list_unsubscribe: Option<&str>, post: Option<&str>, dkim: Option<&str>) -> Verdict {
    let (mut problems, mut notes) = (Vec::new(), Vec::new());
    let uris: Vec<&str> = list_unsubscribe.unwrap_or_default().split(',').map(str::trim).collect();
    let bracketed =
        |uri: &&str| uri.strip_prefix('<').and_then(|uri| uri.strip_suffix('>')).map(str::to_owned);
    let uris: Vec<String> = uris.iter().filter_map(bracketed).collect();
    let with = |scheme: &str| uris.iter().find(|uri| uri.to_ascii_lowercase().starts_with(scheme)).cloned();
    let (secure, plain, mailto) = (with("https:"), with("http:"), with("mailto:"));
    match (list_unsubscribe, uris.is_empty()) {
        (None, _) => problems.push("There is no List-Unsubscribe."),
        (Some(_), true) => problems.push("List-Unsubscribe names nothing in <brackets>."),
        _ => {}
    }
    let here = plain.as_deref().is_some_and(is_here);
    if secure.is_none() && list_unsubscribe.is_some() {
        if here {
            notes.push("The address is http on this machine; anywhere else it must be https.");
        } else {
            problems.push("List-Unsubscribe has no https address.");
        }
    }
    match post.map(str::trim) {
        Some("List-Unsubscribe=One-Click") => {}
        Some(_) => problems.push("List-Unsubscribe-Post is not exactly List-Unsubscribe=One-Click."),
        None if list_unsubscribe.is_some() => problems.push("There is no List-Unsubscribe-Post."),
        None => {}
    }
    match dkim {
        None => notes.push("The mail is not signed by DKIM; a real one must be, and cover both fields."),
        Some(dkim) => {
            let folded: String = dkim.to_ascii_lowercase().split_ascii_whitespace().collect();
            let signed = folded.split(';').find_map(|tag| tag.strip_prefix("h=")).unwrap_or_default();
            let covers = |name: &str| signed.split(':').any(|field| field == name);
            if !covers("list-unsubscribe") || !covers("list-unsubscribe-post") {
                problems.push("The DKIM signature does not cover both fields.");
            }
        }
    }
    let url = secure.or(if here { plain } else { None });
    Verdict { one_click: problems.is_empty(), url, mailto, problems, notes }
}

fn is_here(url: &str) -> bool {
    let host =
        url.get("http://".len()..).unwrap_or_default().split(['/', '?', '#']).next().unwrap_or_default();
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
    name == "localhost"
        || name == "[::1]"
        || name.parse::<std::net::Ipv4Addr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE_CLICK: Option<&str> = Some("List-Unsubscribe=One-Click");

    #[test]
    fn one_click_needs_both_fields_https_and_a_signature_that_covers_them() {
        let good = Some("<https://x.org/u/1>, <mailto:u@x.org>");
        let verdict = judge(good, ONE_CLICK, None);
        assert!(verdict.one_click && verdict.notes.len() == 1, "{verdict:?}");
        assert_eq!(verdict.mailto.as_deref(), Some("mailto:u@x.org"));
        let covered = Some("v=1; h=from:to:List-Unsubscribe:\r\n List-Unsubscribe-Post; b=x");
        assert!(judge(good, ONE_CLICK, covered).one_click);
        assert!(judge(Some("<http://127.0.0.1:80/u>"), ONE_CLICK, None).one_click);
        for (list, post, dkim) in [
            (None, None, None),
            (good, None, None),
            (good, Some("One-Click"), None),
            (good, ONE_CLICK, Some("v=1; h=from:list-unsubscribe")),
            (Some("https://x.org/u"), ONE_CLICK, None),
            (Some("<mailto:u@x.org>"), ONE_CLICK, None),
            (Some("<http://127.0.0.1.example.com/u>"), ONE_CLICK, None),
        ] {
            let verdict = judge(list, post, dkim);
            assert!(!verdict.one_click && !verdict.problems.is_empty(), "{list:?} {post:?} {dkim:?}");
        }
    }
}
