//! Pages of a list, in the shape that the official clients walk through.

use serde_json::{Value, json};

use super::{
    answer::{Params, Problem},
    record::API_VERSION,
};
use crate::moment::span;

/// How many a page has unless asked, and at most.
const PAGE_SIZE: usize = 50;
const MAX_PAGE_SIZE: usize = 1_000;

/// What was asked of a list.
pub(super) struct Listing {
    path: String,
    filters: Vec<(String, String)>,
    size: usize,
    number: u64,
    /// The last of the page before.
    after: Option<String>,
}

impl Listing {
    pub(super) fn asked(account: &str, resource: &str, query: &Params) -> Result<Self, Problem> {
        let number = |name: &str, default: u64| match query.get(name) {
            None => Ok(default),
            Some(text) => {
                text.parse().map_err(|_| Problem::bad(20001, format!("{name} is not a number: {text}")))
            }
        };
        let size = number("PageSize", PAGE_SIZE as u64)?;
        let size = usize::try_from(size).unwrap_or(MAX_PAGE_SIZE).clamp(1, MAX_PAGE_SIZE);
        let paging = ["PageSize", "Page", "PageToken"];
        Ok(Self {
            path: format!("/{API_VERSION}/Accounts/{account}/{resource}.json"),
            filters: query
                .iter()
                .filter(|(name, _)| !paging.contains(name))
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect(),
            size,
            number: number("Page", 0)?,
            after: query.get("PageToken").map(|token| token.strip_prefix("PA").unwrap_or(token).to_owned()),
        })
    }

    fn uri(&self, number: u64, after: Option<&str>) -> String {
        let mut query = form_urlencoded::Serializer::new(String::new());
        for (name, value) in &self.filters {
            query.append_pair(name, value);
        }
        query.append_pair("PageSize", &self.size.to_string()).append_pair("Page", &number.to_string());
        if let Some(sid) = after {
            query.append_pair("PageToken", &format!("PA{sid}"));
        }
        format!("{}?{}", self.path, query.finish())
    }

    /// One page of what matches, newest first.
    pub(super) fn page<'a, T: 'a>(
        &self,
        name: &str,
        matching: impl Iterator<Item = &'a T>,
        sid: impl Fn(&'a T) -> &'a str,
        json: impl Fn(&'a T) -> Value,
    ) -> Value {
        let mut matching = matching.peekable();
        if let Some(after) = &self.after {
            while matching.next_if(|item| sid(item) != after).is_some() {}
            matching.next();
        }
        let items: Vec<&T> = matching.by_ref().take(self.size).collect();
        let next = match items.last() {
            Some(last) if matching.peek().is_some() => Some(self.uri(self.number + 1, Some(sid(last)))),
            _ => None,
        };
        let start = self.number.saturating_mul(self.size as u64);
        json!({
            "end": start + (items.len() as u64).saturating_sub(1),
            "first_page_uri": self.uri(0, None),
            "next_page_uri": next,
            "page": self.number,
            "page_size": self.size,
            // Tokens go forward only, as those of the real API do for most clients.
            "previous_page_uri": null,
            "start": start,
            "uri": self.uri(self.number, self.after.as_deref()),
            name: items.into_iter().map(json).collect::<Vec<Value>>(),
        })
    }
}

/// Whether a time is where the filters of that name want it: `DateSent`, `DateSent<`, `DateSent>` and, for those who
/// write the sign of equality into the name, `DateSent<=` and `DateSent>=`; both ends belong to it.
pub(super) fn dated(query: &Params, name: &str, at_ms: u64) -> bool {
    query.iter().all(|(key, value)| {
        let Some(sign) = key.strip_prefix(name) else { return true };
        let Some((from, to)) = span(value) else { return value.is_empty() };
        match sign {
            "" => (from..to).contains(&at_ms),
            "<" | "<=" => at_ms < to,
            ">" | ">=" => at_ms >= from,
            _ => true,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_filtered_by_day_or_second_with_both_ends() {
        let query = |text: &str| Params::read(text.as_bytes());
        let noon = 43_200_000;
        for (text, expected) in [
            ("", true),
            ("DateSent=1970-01-01", true),
            ("DateSent=1970-01-02", false),
            ("DateSent>=1970-01-01", true),
            ("DateSent%3E=1970-01-02", false),
            ("DateSent%3E=1970-01-01T12:00:00Z", true),
            ("DateSent%3E=1970-01-01T12:00:01Z", false),
            ("DateSent%3C=1970-01-01T12:00:00Z", true),
            ("DateSent%3C=1970-01-01T11:59:59Z", false),
            ("DateSent%3E%3D=1970-01-01&DateSent%3C%3D=1970-01-01", true),
            ("DateSent=tomorrow", false),
        ] {
            assert_eq!(dated(&query(text), "DateSent", noon), expected, "{text}");
        }
    }

    #[test]
    fn pages_follow_each_other_to_the_end_and_keep_the_filters() {
        let items: Vec<String> = (0..5).map(|number| format!("SM{number}")).collect();
        let mut query = "To=%2B1&PageSize=2".to_owned();
        let mut seen = Vec::new();
        loop {
            let listing = Listing::asked("AC1", "Messages", &Params::read(query.as_bytes())).unwrap();
            let page = listing.page("messages", items.iter(), |item| item, |item| json!(item));
            seen.extend(
                page["messages"].as_array().unwrap().iter().map(|item| item.as_str().unwrap().to_owned()),
            );
            let Some(next) = page["next_page_uri"].as_str() else { break };
            assert!(
                next.starts_with("/2010-04-01/Accounts/AC1/Messages.json?To=%2B1&PageSize=2&Page="),
                "{next}"
            );
            query = next.split_once('?').unwrap().1.to_owned();
        }
        assert_eq!(seen, items);
    }
}
