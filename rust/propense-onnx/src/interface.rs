//! What a model must take and give: `features` float32 `[N, width]` in, `score` float32 `[N]` out.

use ort::session::Session;
use ort::value::{Outlet, TensorElementType, ValueType};

use crate::error::{OnnxError, Port};

/// The name of the only input.
pub const INPUT_NAME: &str = "features";
/// The name of the only output.
pub const OUTPUT_NAME: &str = "score";

/// Check that a session has the canonical input, of `width` features, and the canonical output.
///
/// # Errors
///
/// One of the `Port…` errors or [`OnnxError::WrongWidth`], each with what was expected and found.
pub(crate) fn require_canonical(session: &Session, width: usize) -> Result<(), OnnxError> {
    let input = float_dimensions(session.inputs(), Port::Input, INPUT_NAME)?;
    let expected = i64::try_from(width).ok();
    match *input {
        [-1, found] if Some(found) == expected => {}
        [-1, found] if found >= 0 => return Err(OnnxError::WrongWidth { expected: width, found }),
        _ => return Err(wrong_shape(Port::Input, format!("[N, {width}]"), input)),
    }
    let output = float_dimensions(session.outputs(), Port::Output, OUTPUT_NAME)?;
    match *output {
        [-1] => Ok(()),
        _ => Err(wrong_shape(Port::Output, "[N]".to_owned(), output)),
    }
}

/// The dimensions of the only one of `outlets`, which must be float32 and called `name`.
fn float_dimensions<'s>(outlets: &'s [Outlet], port: Port, name: &'static str) -> Result<&'s [i64], OnnxError> {
    let [outlet] = outlets else {
        let found = outlets.iter().map(|outlet| outlet.name().to_owned()).collect();
        return Err(OnnxError::PortCount { port, expected: name, found });
    };
    if outlet.name() != name {
        let found = outlet.name().to_owned();
        return Err(OnnxError::PortName { port, expected: name, found });
    }
    match outlet.dtype() {
        ValueType::Tensor { ty: TensorElementType::Float32, shape, .. } => Ok(shape),
        other => Err(OnnxError::PortType { port, expected: "float32 tensor", found: other.to_string() }),
    }
}

fn wrong_shape(port: Port, expected: String, found: &[i64]) -> OnnxError {
    OnnxError::PortShape { port, expected, found: shape_text(found) }
}

/// A shape as people write it: `[N, 6]`, with N for a free dimension.
pub(crate) fn shape_text(shape: &[i64]) -> String {
    let dimensions: Vec<String> =
        shape.iter().map(|&size| if size < 0 { "N".to_owned() } else { size.to_string() }).collect();
    format!("[{}]", dimensions.join(", "))
}
