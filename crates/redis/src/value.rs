//! Replies.

use bytes::Bytes;
use fred::types::Value as Fred;

use crate::error::Error;

/// A reply. Text is [`Bytes`](Value::Bytes): Redis does not distinguish text from bytes.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Value {
    /// No value.
    Nil,
    /// An integer.
    Int(i64),
    /// A floating point number.
    Double(f64),
    /// A boolean.
    Bool(bool),
    /// Text or bytes.
    Bytes(Bytes),
    /// A list or a set.
    Array(Vec<Value>),
    /// Pairs, in the server's order.
    Map(Vec<(Value, Value)>),
}

impl Value {
    /// Returns the integer.
    ///
    /// # Errors
    /// Kind `Decode` if the value is neither an integer nor a decimal text of one.
    pub fn as_int(&self) -> Result<i64, Error> {
        let parsed = match self {
            Self::Int(number) => Some(*number),
            Self::Bool(truth) => Some(i64::from(*truth)),
            Self::Bytes(bytes) => std::str::from_utf8(bytes).ok().and_then(|text| text.parse().ok()),
            _ => None,
        };
        parsed.ok_or_else(|| Error::decode("an integer", self))
    }

    /// Returns the integer as a count.
    ///
    /// # Errors
    /// Kind `Decode` as for [`as_int`](Self::as_int), and if it is below zero.
    pub fn as_count(&self) -> Result<u64, Error> {
        u64::try_from(self.as_int()?).map_err(|_| Error::decode("a count", self))
    }

    /// Whether it is nil.
    pub fn is_nil(&self) -> bool {
        matches!(self, Self::Nil)
    }

    /// Returns the bytes.
    ///
    /// # Errors
    /// Kind `Decode` for any other value.
    pub fn into_bytes(self) -> Result<Bytes, Error> {
        match self {
            Self::Bytes(bytes) => Ok(bytes),
            other => Err(Error::decode("bytes", &other)),
        }
    }

    /// Returns the bytes, or `None` for nil.
    ///
    /// # Errors
    /// Kind `Decode` for any other value.
    pub fn into_optional_bytes(self) -> Result<Option<Bytes>, Error> {
        match self {
            Self::Nil => Ok(None),
            other => other.into_bytes().map(Some),
        }
    }

    /// Returns the text.
    ///
    /// # Errors
    /// Kind `Decode` for any other value, and for text that is not UTF-8.
    pub fn into_text(self) -> Result<String, Error> {
        match self {
            Self::Bytes(bytes) => match std::str::from_utf8(&bytes) {
                Ok(text) => Ok(text.to_owned()),
                Err(_) => Err(Error::decode("UTF-8 text", &bytes)),
            },
            Self::Int(number) => Ok(number.to_string()),
            other => Err(Error::decode("text", &other)),
        }
    }

    /// Returns the elements. Nil is an empty list.
    ///
    /// # Errors
    /// Kind `Decode` for any other value.
    pub fn into_array(self) -> Result<Vec<Self>, Error> {
        match self {
            Self::Array(values) => Ok(values),
            Self::Nil => Ok(Vec::new()),
            other => Err(Error::decode("an array", &other)),
        }
    }

    /// Returns the pairs, whether the server sent them as a map or as a flat list.
    ///
    /// # Errors
    /// Kind `Decode` for any other value, and for a list of odd length.
    pub fn into_map(self) -> Result<Vec<(Self, Self)>, Error> {
        let flat = match self {
            Self::Map(pairs) => return Ok(pairs),
            other => other.into_array()?,
        };
        if flat.len() % 2 != 0 {
            return Err(Error::decode("pairs", &flat));
        }
        let mut flat = flat.into_iter();
        let mut pairs = Vec::with_capacity(flat.len() / 2);
        while let (Some(key), Some(value)) = (flat.next(), flat.next()) {
            pairs.push((key, value));
        }
        Ok(pairs)
    }

    pub(crate) fn from_fred(value: Fred) -> Self {
        match value {
            Fred::Null => Self::Nil,
            Fred::Integer(number) => Self::Int(number),
            Fred::Double(number) => Self::Double(number),
            Fred::Boolean(truth) => Self::Bool(truth),
            Fred::String(text) => Self::Bytes(text.into_inner()),
            Fred::Bytes(bytes) => Self::Bytes(bytes),
            Fred::Queued => Self::Bytes(Bytes::from_static(b"QUEUED")),
            Fred::Array(values) => Self::Array(values.into_iter().map(Self::from_fred).collect()),
            Fred::Map(map) => Self::Map(
                map.inner()
                    .into_iter()
                    .map(|(key, value)| (Self::Bytes(Bytes::copy_from_slice(key.as_bytes())), Self::from_fred(value)))
                    .collect(),
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &'static str) -> Value {
        Value::Bytes(Bytes::from_static(text.as_bytes()))
    }

    #[test]
    fn numbers_come_as_numbers_or_as_text() {
        assert_eq!(Value::Int(7).as_int(), Ok(7));
        assert_eq!(text("9007199254740993").as_int(), Ok(9_007_199_254_740_993));
        assert!(text("1e3").as_int().is_err());
        assert!(Value::Int(-1).as_count().is_err());
    }

    #[test]
    fn pairs_come_as_a_map_or_as_a_list() {
        let pairs = vec![(text("a"), Value::Int(1))];
        assert_eq!(Value::Map(pairs.clone()).into_map(), Ok(pairs.clone()));
        assert_eq!(Value::Array(vec![text("a"), Value::Int(1)]).into_map(), Ok(pairs));
        assert!(Value::Array(vec![text("a")]).into_map().is_err());
    }

    #[test]
    fn nil_is_no_bytes_and_no_elements() {
        assert_eq!(Value::Nil.into_optional_bytes(), Ok(None));
        assert_eq!(Value::Nil.into_array(), Ok(Vec::new()));
        assert!(Value::Nil.into_bytes().is_err());
    }
}
