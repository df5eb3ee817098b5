//! Features of users at an `as_of`: declared as text, planned once, computed for many users in parallel.
//!
//! A [`FeatureSpec`] is what people write and models keep. A [`Plan`] is that spec bound to a log: which events
//! each aggregate looks at, which windows share a pass, what each column of the matrix is. [`compute()`] runs a plan.
//! [`mod@reference`] is the definition of truth that the tests hold it to; it shares no code with the kernels.

mod calendar;
mod compute;
mod condition;
mod error;
mod kernels;
mod plan;
mod progress;
pub mod reference;
mod scan;
mod spec;

pub use compute::{audience, compute};
pub use condition::{check_audience, check_goal, event_types_named};
pub use error::FeatureError;
pub use plan::{Period, Plan};
pub use progress::Progress;
pub use scan::Scan;
pub use spec::{Feature, FeatureSpec};
