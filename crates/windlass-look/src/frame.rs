//! What stands around a page: the files that it loads, navigation and search above it, version and keys below.

use std::fmt::Display;

use askama::Template;
use askama::filters::HtmlSafe;

use crate::{Flash, assets, words};

/// An entry of the navigation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// What a page says that belongs to it ([`Frame::place`]).
    pub name: &'static str,
    /// Its word.
    pub label: &'static str,
    /// The key that leads to it after `g`.
    pub key: &'static str,
    /// Its address.
    pub at: String,
}

/// What stands around a page, for whoever looks at it.
#[derive(Clone, Debug, Default)]
pub struct Frame {
    /// What all addresses of the server begin with: empty unless it is nested below a path.
    pub base: String,
    /// The entry of the navigation that the page belongs to.
    pub place: &'static str,
    /// The navigation, as far as it leads somewhere for them.
    pub places: Vec<Place>,
    /// The page's own address, to come back to; the overview's where a page answers a form.
    pub address: String,
    /// What the form before has done.
    pub flash: Option<Flash>,
    /// Whether there is a session to end.
    pub signed_in: bool,
    /// Who looks at it; none where nobody is asked.
    pub who: Option<String>,
    /// What they may do, as words with spaces between: the style sheet hides forms that would only be refused.
    pub may: String,
    /// The queues that they are limited to.
    pub queues: Option<String>,
    /// After how many seconds the page is fetched again though no event happened; 0 is never. Progress, logs and
    /// heartbeats are no events.
    pub every: u32,
    /// How a shell reaches the server.
    pub server: String,
}

impl Frame {
    /// The address of the overview.
    pub fn home(&self) -> &str {
        if self.base.is_empty() { "/" } else { &self.base }
    }

    /// The address of that file of `assets/`.
    pub fn asset(&self, name: &str) -> String {
        assets::address(&self.base, name)
    }

    /// The version of all this.
    pub fn version(&self) -> &'static str {
        env!("CARGO_PKG_VERSION")
    }

    /// The address of that job's page.
    pub fn job(&self, id: impl Display) -> String {
        format!("{}/jobs/{id}", self.base)
    }

    /// The address of that queue's page.
    pub fn queue(&self, queue: impl AsRef<str>) -> String {
        format!("{}/queues/{}", self.base, words::part(queue.as_ref()))
    }

    /// The address of the jobs that all of some conditions mean: `[("queue", "email"), ("group", "7")]`.
    pub fn jobs(&self, conditions: &[(&str, &str)]) -> String {
        let spelled: Vec<String> =
            conditions.iter().map(|(name, value)| words::condition(name, value)).collect();
        words::jobs_at(&self.base, &spelled.join(" "))
    }

    /// What stands in the head of the page, beside its title.
    pub fn head(&self) -> Head<'_> {
        Head { f: self }
    }

    /// What stands above the page.
    pub fn top(&self) -> Top<'_> {
        Top { f: self, has_places: true, has_search: true }
    }

    /// The same for a page that has the search for jobs itself.
    pub fn top_without_search(&self) -> Top<'_> {
        Top { has_search: false, ..self.top() }
    }

    /// The same for somebody who has not come in.
    pub fn top_of_the_door(&self) -> Top<'_> {
        Top { has_places: false, has_search: false, ..self.top() }
    }

    /// What stands below the page.
    pub fn bottom(&self) -> Bottom<'_> {
        Bottom { f: self }
    }
}

macro_rules! part {
    ($(#[$doc:meta])* $name:ident $path:literal $($field:ident)*) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Template)]
        #[template(path = $path)]
        pub struct $name<'a> {
            f: &'a Frame,
            $($field: bool,)*
        }

        /// A template of ours, which has escaped what it printed.
        impl HtmlSafe for $name<'_> {}
    };
}

part! {
    /// What stands in the head of a page ([`Frame::head`]).
    Head "head.html"
}
part! {
    /// What stands above a page ([`Frame::top`]).
    Top "top.html" has_places has_search
}
part! {
    /// What stands below a page ([`Frame::bottom`]).
    Bottom "bottom.html"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_a_frame_is_markup() {
        let hostile = "\"><script>alert(1)</script>".to_owned();
        let frame = Frame {
            base: hostile.clone(),
            places: vec![Place { name: "x", label: "X", key: "x", at: hostile.clone() }],
            flash: Some(Flash::good(hostile.clone())),
            signed_in: true,
            who: Some(hostile.clone()),
            may: hostile.clone(),
            queues: Some(hostile.clone()),
            server: hostile.clone(),
            ..Frame::default()
        };
        for part in [frame.head().to_string(), frame.top().to_string(), frame.bottom().to_string()] {
            assert!(!part.contains("<script>") && part.contains("&#60;script&#62;"), "{part}");
        }
    }

    #[test]
    fn the_page_that_is_shown_is_marked_in_the_navigation_and_the_door_has_none() {
        let place = |name, at: &str| Place { name, label: "L", key: "k", at: at.to_owned() };
        let places = vec![place("one", "/one"), place("other", "/other")];
        let frame = Frame { place: "other", places, ..Frame::default() };
        let top = frame.top().to_string();
        assert!(top.contains("href=\"/other\" data-key=\"k\" aria-current=\"page\""), "{top}");
        assert_eq!(top.matches("aria-current").count(), 1);
        assert!(
            top.contains("role=\"search\"") && !frame.top_without_search().to_string().contains("search")
        );
        assert!(!frame.top_of_the_door().to_string().contains("<nav"));
    }
}
