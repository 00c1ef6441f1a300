//! Values that must be written as JSON objects.

use std::fmt;
use std::marker::PhantomData;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};

/// A `T` that was sent with named fields. Serde itself also accepts an array for a struct, so a
/// misplaced list would silently become a value.
#[derive(Debug, Default)]
pub struct Object<T>(pub T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Named(PhantomData)).map(Self)
    }
}

struct Named<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for Named<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
        T::deserialize(MapAccessDeserializer::new(map))
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::Object;

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Point {
        x: i32,
        #[serde(default)]
        y: i32,
    }

    #[test]
    fn only_named_fields_are_taken() {
        let read = |text| serde_json::from_str::<Object<Point>>(text).map(|Object(point)| point);
        assert_eq!(read(r#"{"x": 1}"#).unwrap(), Point { x: 1, y: 0 });
        for text in ["[1, 2]", "1", "null", "\"x\"", r#"{"x": 1, "z": 2}"#, r#"{"y": 1}"#] {
            assert!(read(text).unwrap_err().is_data(), "{text}");
        }
        assert!(serde_json::from_str::<Point>("[1, 2]").is_ok(), "what this is for");
    }
}
