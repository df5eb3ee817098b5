//! Proof that a model is one file: a walk over its protobuf wire format that finds external data.
//!
//! ONNX Runtime follows a tensor's `external_data` to other files, and its check that they lie
//! beside the model can be got around; a model from memory has no folder at all. So such a model
//! is refused before the library sees it. The walk follows only the messages in which a tensor
//! can lie (`onnx.proto3`, IR version 10), and refuses what it cannot follow.

use crate::error::OnnxError;

/// As deep as protobuf's own parsers go.
const MAX_DEPTH: usize = 100;

const MALFORMED: OnnxError = OnnxError::ModelMalformed { problem: "its protobuf encoding is damaged" };

/// The messages in which a tensor can lie.
#[derive(Clone, Copy, PartialEq)]
enum Message {
    Model,
    Training,
    Function,
    Graph,
    Node,
    Attribute,
    SparseTensor,
    Tensor,
}

impl Message {
    /// The message held by a field, if a tensor can lie in it.
    fn child(self, field: u32) -> Option<Self> {
        match (self, field) {
            (Self::Model, 7) | (Self::Training, 1 | 2) | (Self::Attribute, 6 | 11) => Some(Self::Graph),
            (Self::Model, 20) => Some(Self::Training),
            (Self::Model, 25) => Some(Self::Function),
            (Self::Function, 7) | (Self::Graph, 1) => Some(Self::Node),
            (Self::Function, 11) | (Self::Node, 5) => Some(Self::Attribute),
            (Self::Graph, 5) | (Self::Attribute, 5 | 10) | (Self::SparseTensor, 1 | 2) => Some(Self::Tensor),
            (Self::Graph, 15) | (Self::Attribute, 22 | 23) => Some(Self::SparseTensor),
            _ => None,
        }
    }
}

/// `TensorProto`: name, the list of places outside the file, and the switch that uses it.
const TENSOR_NAME: u32 = 8;
const TENSOR_EXTERNAL_DATA: u32 = 13;
const TENSOR_DATA_LOCATION: u32 = 14;

/// Refuse a model that is not one whole file.
///
/// # Errors
///
/// [`OnnxError::ExternalData`] naming the tensor, or [`OnnxError::ModelMalformed`].
pub(crate) fn require_one_file(model: &[u8]) -> Result<(), OnnxError> {
    if model.is_empty() {
        return Err(OnnxError::ModelMalformed { problem: "it is empty" });
    }
    walk(model, Message::Model, 0)
}

fn walk(mut bytes: &[u8], message: Message, depth: usize) -> Result<(), OnnxError> {
    if depth > MAX_DEPTH {
        return Err(OnnxError::ModelMalformed { problem: "it is nested too deeply" });
    }
    let mut name: &[u8] = b"";
    let mut external = false;
    while !bytes.is_empty() {
        let tag = u32::try_from(varint(&mut bytes)?).map_err(|_| MALFORMED)?;
        let field = tag >> 3;
        match tag & 7 {
            0 => {
                let value = varint(&mut bytes)?;
                external |= message == Message::Tensor && field == TENSOR_DATA_LOCATION && value != 0;
            }
            1 => drop(take(&mut bytes, 8)?),
            5 => drop(take(&mut bytes, 4)?),
            2 => {
                let length = usize::try_from(varint(&mut bytes)?).map_err(|_| MALFORMED)?;
                let content = take(&mut bytes, length)?;
                if let Some(child) = message.child(field) {
                    walk(content, child, depth + 1)?;
                } else if message == Message::Tensor {
                    external |= field == TENSOR_EXTERNAL_DATA;
                    if field == TENSOR_NAME {
                        name = content;
                    }
                }
            }
            // Groups, which ONNX has none of, and two codes without a meaning.
            _ => return Err(MALFORMED),
        }
    }
    if external {
        return Err(OnnxError::ExternalData { tensor: String::from_utf8_lossy(name).into_owned() });
    }
    Ok(())
}

fn varint(bytes: &mut &[u8]) -> Result<u64, OnnxError> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = bytes.split_first().ok_or(MALFORMED)?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Ok(value);
        }
    }
    Err(MALFORMED)
}

fn take<'b>(bytes: &mut &'b [u8], length: usize) -> Result<&'b [u8], OnnxError> {
    let (taken, rest) = bytes.split_at_checked(length).ok_or(MALFORMED)?;
    *bytes = rest;
    Ok(taken)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// A field that holds `content`, of less than 128 bytes.
    fn field(number: u8, content: &[u8]) -> Vec<u8> {
        let tag = u32::from(number) << 3 | 2;
        let mut bytes = vec![tag as u8 & 0x7f | 0x80, (tag >> 7) as u8, content.len() as u8];
        bytes.extend(content);
        bytes
    }

    /// `content` inside fields of these numbers, the outermost first.
    fn nested(numbers: &[u8], content: &[u8]) -> Vec<u8> {
        numbers.iter().rev().fold(content.to_vec(), |inner, &number| field(number, &inner))
    }

    #[test]
    fn external_data_is_found_wherever_a_tensor_can_lie() {
        let tensor = [field(8, b"w"), field(13, b"")].concat();
        let places: [&[u8]; 7] = [
            &[7, 5],
            &[7, 15, 1],
            &[7, 1, 5, 5],
            &[7, 1, 5, 10],
            &[7, 1, 5, 6, 1, 5, 11, 5],
            &[20, 1, 5],
            &[25, 7, 5, 23, 2],
        ];
        for place in places {
            let found = require_one_file(&nested(place, &tensor));
            assert!(matches!(&found, Err(OnnxError::ExternalData { tensor }) if tensor == "w"), "{place:?}");
            assert!(require_one_file(&nested(place, &field(8, b"w"))).is_ok(), "{place:?}");
        }
    }

    #[test]
    fn a_location_is_read_as_protobuf_reads_it() {
        // 1, and 2^32 + 1, which a 32-bit enum takes for 1 also.
        for location in [&[0x70, 0x01][..], &[0x70, 0x81, 0x80, 0x80, 0x80, 0x10]] {
            let found = require_one_file(&nested(&[7, 5], location));
            assert!(matches!(found, Err(OnnxError::ExternalData { .. })), "{location:?}");
        }
        assert!(require_one_file(&nested(&[7, 5], &[0x70, 0x00])).is_ok());
    }

    #[test]
    fn damage_is_refused() {
        let cases: [&[u8]; 5] = [&[0x3a, 0x05, 0x00], &[0x80], &[0x3b], &[0xff; 12], &[0x39, 0x00]];
        for case in cases {
            assert!(matches!(require_one_file(case), Err(OnnxError::ModelMalformed { .. })), "{case:?}");
        }
    }

    #[test]
    fn depth_is_bounded() {
        let mut subgraph = Vec::new();
        for level in 0..3 * MAX_DEPTH {
            // From the inside out: an attribute's graph, a node's attribute, a graph's node.
            let tag = [0x32, 0x2a, 0x0a][level % 3];
            let length = [subgraph.len() as u8 & 0x7f | 0x80, (subgraph.len() >> 7) as u8];
            subgraph = [&[tag], &length[..], &subgraph].concat();
        }
        let length = [subgraph.len() as u8 & 0x7f | 0x80, (subgraph.len() >> 7) as u8];
        let found = require_one_file(&[&[0x3a], &length[..], &subgraph].concat());
        let expected = "the model is not valid ONNX: it is nested too deeply";
        assert_eq!(found.unwrap_err().to_string(), expected);
    }
}
