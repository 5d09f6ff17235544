//! Lists that are read page by page, and answers to batches.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;
use windlass_core::Rejection;

/// One page of a list.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(rename = "PageOf{T}"))]
pub struct PageShape<T> {
    /// The items.
    pub items: Vec<T>,
    /// What to ask with as `cursor` for the next page; null at the end.
    pub next: Option<String>,
    /// How many were looked at to fill this page.
    pub examined: usize,
}

impl<T, U> From<windlass_core::store::Page<U>> for PageShape<T>
where
    T: From<U>,
{
    fn from(page: windlass_core::store::Page<U>) -> Self {
        Self {
            items: page.items.into_iter().map(T::from).collect(),
            next: page.next,
            examined: page.examined,
        }
    }
}

impl<T> PageShape<T> {
    /// The page as the store gave it.
    pub fn into_page<U>(self, item: impl Fn(T) -> U) -> windlass_core::store::Page<U> {
        let items = self.items.into_iter().map(item).collect();
        windlass_core::store::Page { items, next: self.next, examined: self.examined }
    }
}

/// The answer to one item of a batch: what was done, or `{"error": …}` with the refusal.
#[derive(Clone, Debug, PartialEq)]
pub struct ItemAnswer<T>(pub Result<T, Rejection>);

/// What is said of an item with which something was done, and there is no more to say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Done {}

/// Why an item was refused.
#[derive(Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Refusal<'a> {
    #[serde(flatten)]
    rejection: &'a Rejection,
    /// The refusal in words.
    detail: String,
}

#[derive(Deserialize)]
struct MaybeRefused {
    error: Option<Rejection>,
}

impl<T: Serialize> Serialize for ItemAnswer<T> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match &self.0 {
            Ok(done) => done.serialize(to),
            Err(rejection) => {
                let refusal = Refusal { rejection, detail: rejection.to_string() };
                to.collect_map([("error", refusal)])
            }
        }
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for ItemAnswer<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        use serde::de::Error;
        let raw = <&'de RawValue>::deserialize(from)?;
        // Nearly every item is taken, and only a refusal has this at its beginning.
        if raw.get().starts_with("{\"error\"") {
            let refused: MaybeRefused = serde_json::from_str(raw.get()).map_err(D::Error::custom)?;
            if let Some(rejection) = refused.error {
                return Ok(Self(Err(rejection)));
            }
        }
        serde_json::from_str(raw.get()).map(|done| Self(Ok(done))).map_err(D::Error::custom)
    }
}

/// The answers to a batch of items that are done without a word.
pub fn answers(items: Vec<Result<(), Rejection>>) -> Vec<ItemAnswer<Done>> {
    items.into_iter().map(|item| ItemAnswer(item.map(|()| Done {}))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_read_back_with_all_it_says() {
        let refused = Rejection::QueueFull { queue: "email".into(), retry_after_ms: 20 };
        let all = vec![ItemAnswer(Ok(Done {})), ItemAnswer(Err(refused)), ItemAnswer(Err(Rejection::Stale))];
        let text = serde_json::to_string(&all).expect("json");
        assert!(text.starts_with(r#"[{},{"error":{"code":"queue_full","queue":"email","#), "{text}");
        assert_eq!(serde_json::from_str::<Vec<ItemAnswer<Done>>>(&text).expect("its own text"), all);
    }
}
