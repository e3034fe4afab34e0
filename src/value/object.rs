//! A JSON object → its members. Every text of it is in memory that is wiped, even if the text turns out to be no
//! object. Pure.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use zeroize::Zeroizing;

/// The members of one JSON object, each name once. It has no `Debug`, because a member may be secret.
pub(super) struct WipedObject(BTreeMap<String, WipedMember>);

/// The value of a member. keywheel uses no value of another kind.
enum WipedMember {
    Text(Zeroizing<String>),
    Number(u64),
    Other,
}

impl WipedObject {
    /// Reads a text. Returns `None` if it is not one JSON object, or names a member twice.
    pub(super) fn read(text: &str) -> Option<Self> {
        // The error of serde would repeat a part of the text.
        serde_json::from_str(text).ok()
    }

    /// Whether the object has a member of that name, of any kind.
    pub(super) fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// Returns a member that is text.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        match self.0.get(name) {
            Some(WipedMember::Text(text)) => Some(text),
            _ => None,
        }
    }

    /// Removes a member that is text and returns it, without a copy.
    pub(super) fn take_text(&mut self, name: &str) -> Option<Zeroizing<String>> {
        match self.0.remove(name) {
            Some(WipedMember::Text(text)) => Some(text),
            _ => None,
        }
    }

    /// Returns a member that is a whole number from 0.
    pub(super) fn number(&self, name: &str) -> Option<u64> {
        match self.0.get(name) {
            Some(WipedMember::Number(number)) => Some(*number),
            _ => None,
        }
    }
}

impl<'de> Deserialize<'de> for WipedObject {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ObjectVisitor)
    }
}

struct ObjectVisitor;

impl<'de> Visitor<'de> for ObjectVisitor {
    type Value = WipedObject;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<WipedObject, A::Error> {
        let mut members = BTreeMap::new();
        while let Some((name, member)) = map.next_entry::<String, WipedMember>()? {
            if members.insert(name, member).is_some() {
                return Err(A::Error::custom("a member is there twice"));
            }
        }
        Ok(WipedObject(members))
    }
}

impl<'de> Deserialize<'de> for WipedMember {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(MemberVisitor)
    }
}

struct MemberVisitor;

impl<'de> Visitor<'de> for MemberVisitor {
    type Value = WipedMember;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_str<E>(self, text: &str) -> Result<WipedMember, E> {
        Ok(WipedMember::Text(Zeroizing::new(text.to_owned())))
    }

    fn visit_u64<E>(self, number: u64) -> Result<WipedMember, E> {
        Ok(WipedMember::Number(number))
    }

    fn visit_i64<E>(self, _: i64) -> Result<WipedMember, E> {
        Ok(WipedMember::Other)
    }

    fn visit_f64<E>(self, _: f64) -> Result<WipedMember, E> {
        Ok(WipedMember::Other)
    }

    fn visit_bool<E>(self, _: bool) -> Result<WipedMember, E> {
        Ok(WipedMember::Other)
    }

    fn visit_unit<E>(self) -> Result<WipedMember, E> {
        Ok(WipedMember::Other)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<WipedMember, A::Error> {
        while items.next_element::<IgnoredAny>()?.is_some() {}
        Ok(WipedMember::Other)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<WipedMember, A::Error> {
        while members.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(WipedMember::Other)
    }
}
