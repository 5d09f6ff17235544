//! Icons: outlines in the colour of the text beside them. An icon never stands alone: its word is beside it.

use askama::Template;
use askama::filters::HtmlSafe;

/// The icon of that name; a dot where there is none of that name. States of jobs have their word for a name, channels
/// theirs (`email`, `sms`, `voicemail`).
pub fn icon(name: &str) -> Icon<'_> {
    Icon { name }
}

/// An icon in a template: `{{ windlass_look::icon("warning") }}`.
#[derive(Clone, Copy, Debug, Template)]
#[template(path = "icon.html")]
pub struct Icon<'a> {
    name: &'a str,
}

/// Nothing of the name is printed.
impl HtmlSafe for Icon<'_> {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_icon_prints_nothing_of_its_name() {
        let hostile = icon("\"><script>alert(1)</script>").to_string();
        assert_eq!(hostile, icon("no such icon").to_string());
        assert_ne!(hostile, icon("warning").to_string());
    }
}
