//! Objects and nothing but objects: serde takes a JSON list for a struct as well, field by field, and a list with a
//! thing too much in it must not quietly mean a request that says nothing.

use std::fmt;
use std::marker::PhantomData;

use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

struct Object<T>(T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Fields<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Fields<T> {
            type Value = Object<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Object<T>, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map)).map(Object)
            }
        }
        from.deserialize_map(Fields(PhantomData))
    }
}

/// Reads a list of objects.
///
/// # Errors
/// The deserializer's.
pub(crate) fn list<'de, D: Deserializer<'de>, T: Deserialize<'de>>(from: D) -> Result<Vec<T>, D::Error> {
    let all = Vec::<Object<T>>::deserialize(from)?;
    Ok(all.into_iter().map(|object| object.0).collect())
}

#[cfg(test)]
mod tests {
    use crate::work::{HeartbeatRequest, SettleRequest};

    #[test]
    fn a_list_is_no_object() {
        for bad in [r#"{"settle":[["complete"]]}"#, r#"{"settle":[{"lease":"1.1.1","then":[[]]}]}"#] {
            let told = serde_json::from_str::<SettleRequest<'_>>(bad).expect_err(bad).to_string();
            assert!(told.contains("an object"), "{told}");
        }
        let held = r#"{"leases":[["01a20349-19a4-7000-a26a-6a7218659a2a","1.1.1"]]}"#;
        assert!(serde_json::from_str::<HeartbeatRequest>(held).is_err());
        let payload = r#"{"settle":[{"lease":"1.1.1","then":[{"payload":{"a": 1.0}}]}]}"#;
        let read: SettleRequest<'_> = serde_json::from_str(payload).expect("json");
        let kept = read.settle[0].then[0].payload.as_ref().map(|payload| payload.get().to_owned());
        assert_eq!(kept.as_deref(), Some(r#"{"a": 1.0}"#), "byte by byte");
    }
}
