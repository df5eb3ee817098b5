//! A node's attributes, decoded when they are asked for, and what was not asked for.

use std::collections::BTreeSet;

use crate::error::OnnxError;

use super::stop::Stop;
use super::tensor::{Elements, Tensor};
use super::wire::{Content, Fields, push, push_floats, push_integers};

/// The names and messages of a node's attributes.
#[derive(Default)]
pub(super) struct Attributes<'b> {
    list: Vec<(&'b str, &'b [u8])>,
}

/// ONNX's numbers of the kinds of attribute that are read.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Float = 1,
    Integer = 2,
    Text = 3,
    Tensor = 4,
    Floats = 6,
    Integers = 7,
    Texts = 8,
}

impl<'b> Attributes<'b> {
    /// The name of one attribute, beside its message.
    pub(super) fn named(body: &'b [u8]) -> Result<(&'b str, &'b [u8]), OnnxError> {
        let mut name = "";
        for field in Fields::of(body) {
            if let (1, content) = field? {
                name = content.text()?;
            }
        }
        Ok((name, body))
    }

    pub(super) fn list_mut(&mut self) -> &mut Vec<(&'b str, &'b [u8])> {
        &mut self.list
    }

    /// Stop at an attribute whose meaning is not known here, or that is there twice.
    pub(super) fn require_known(&self, known: &[&str]) -> Result<(), Stop> {
        let mut seen = BTreeSet::new();
        for (name, _) in &self.list {
            if !known.contains(name) {
                return Err(Stop::because(format!("attribute {name:?} is not known")));
            }
            if !seen.insert(name) {
                return Err(Stop::because(format!("attribute {name:?} is there twice")));
            }
        }
        Ok(())
    }

    pub(super) fn float(&self, name: &str) -> Result<Option<f32>, Stop> {
        self.last(name, Kind::Float, 2, Content::float)
    }

    pub(super) fn integer(&self, name: &str) -> Result<Option<i64>, Stop> {
        self.last(name, Kind::Integer, 3, Content::integer)
    }

    pub(super) fn text(&self, name: &str) -> Result<Option<&'b str>, Stop> {
        self.last(name, Kind::Text, 4, Content::text)
    }

    pub(super) fn tensor(&self, name: &str) -> Result<Option<(Vec<i64>, Elements)>, Stop> {
        let Some(tensor) = self.last(name, Kind::Tensor, 5, |content| Tensor::read(content.bytes()?))? else {
            return Ok(None);
        };
        match tensor.decode()? {
            Some(decoded) => Ok(Some(decoded)),
            None => Err(Stop::because(format!("attribute {name:?} has an element type that is not known"))),
        }
    }

    /// Empty if the attribute is absent; so are the other lists.
    pub(super) fn floats(&self, name: &str) -> Result<Vec<f32>, Stop> {
        self.all(name, Kind::Floats, 7, push_floats)
    }

    pub(super) fn integers(&self, name: &str) -> Result<Vec<i64>, Stop> {
        self.all(name, Kind::Integers, 8, push_integers)
    }

    pub(super) fn texts(&self, name: &str) -> Result<Vec<&'b [u8]>, Stop> {
        self.all(name, Kind::Texts, 9, |list, content| push(list, content.bytes()?))
    }

    fn last<T>(
        &self,
        name: &str,
        kind: Kind,
        number: u32,
        read: impl Fn(Content<'b>) -> Result<T, OnnxError>,
    ) -> Result<Option<T>, Stop> {
        let Some(body) = self.body(name, kind)? else { return Ok(None) };
        let mut value = None;
        for field in Fields::of(body) {
            let (found, content) = field?;
            if found == number {
                value = Some(read(content)?);
            }
        }
        match value {
            Some(value) => Ok(Some(value)),
            None => Err(Stop::because(format!("attribute {name:?} has no value"))),
        }
    }

    fn all<T>(
        &self,
        name: &str,
        kind: Kind,
        number: u32,
        push: impl Fn(&mut Vec<T>, Content<'b>) -> Result<(), OnnxError>,
    ) -> Result<Vec<T>, Stop> {
        let mut list = Vec::new();
        if let Some(body) = self.body(name, kind)? {
            for field in Fields::of(body) {
                let (found, content) = field?;
                if found == number {
                    push(&mut list, content)?;
                }
            }
        }
        Ok(list)
    }

    /// The message of an attribute, which must be of that kind.
    fn body(&self, name: &str, kind: Kind) -> Result<Option<&'b [u8]>, Stop> {
        let Some((_, body)) = self.list.iter().find(|(found, _)| *found == name) else { return Ok(None) };
        let mut found = 0;
        for field in Fields::of(body) {
            if let (20, content) = field? {
                found = content.integer()?;
            }
        }
        if found == kind as i64 {
            return Ok(Some(body));
        }
        Err(Stop::because(format!("attribute {name:?} is of kind {found}; {} is expected", kind as i64)))
    }
}
