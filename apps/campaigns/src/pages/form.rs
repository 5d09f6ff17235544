//! What a form sends.

use windlass_look::is_local;

/// The fields of a form, in their order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fields(Vec<(String, String)>);

impl From<Vec<(String, String)>> for Fields {
    /// As `axum::Form` reads them.
    fn from(fields: Vec<(String, String)>) -> Self {
        Self(fields)
    }
}

impl Fields {
    /// The field of that name; an absent one is empty.
    pub fn text(&self, name: &str) -> &str {
        self.get(name).unwrap_or("")
    }

    /// The same without space around it, which nobody sees in a field.
    pub fn word(&self, name: &str) -> &str {
        self.text(name).trim()
    }

    /// The field of that name, if something stands in it.
    pub fn filled(&self, name: &str) -> Option<&str> {
        Some(self.word(name)).filter(|text| !text.is_empty())
    }

    /// Whether a box is ticked.
    pub fn ticked(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// Every field of that name: the boxes of a list that are ticked.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(other, _)| other == name).map(|(_, value)| value.as_str())
    }

    /// The names of the fields, in their order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(name, _)| name.as_str())
    }

    /// Where the form stood, if it says so and that is here.
    pub fn back(&self) -> Option<&str> {
        self.filled("back").filter(|back| is_local(back))
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(all: &[(&str, &str)]) -> Fields {
        all.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect::<Vec<_>>().into()
    }

    #[test]
    fn a_form_says_what_stands_in_its_fields() {
        let form = fields(&[("name", "  spring "), ("cap", " "), ("sender", "3"), ("sender", "7")]);
        assert_eq!((form.text("name"), form.word("name"), form.filled("cap")), ("  spring ", "spring", None));
        assert_eq!(form.all("sender").collect::<Vec<_>>(), ["3", "7"]);
        assert!(form.ticked("cap") && !form.ticked("reply"));
    }

    #[test]
    fn a_form_goes_back_to_this_server_only() {
        assert_eq!(fields(&[("back", "/campaigns/7")]).back(), Some("/campaigns/7"));
        assert_eq!(fields(&[("back", "//evil.example")]).back(), None);
    }
}
