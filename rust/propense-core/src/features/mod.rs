//! Features of users at an `as_of`: declared as text, planned once, computed for many users in parallel.
//!
//! A [`FeatureSpec`] is what people write and models keep. A [`Plan`] is that spec bound to a log, a [`ScanPlan`] the part
//! of it that is wanted, made ready to run: what each event sets off. [`compute()`] runs a plan.
//! [`mod@reference`] is the definition of truth that the tests hold it to; it shares no code with the kernels.

mod calendar;
mod changes;
mod compute;
mod condition;
mod error;
mod joined;
mod kernels;
mod plan;
mod progress;
pub mod reference;
mod scan;
mod share_out;
mod spec;

pub use changes::{Changes, Distinguished, RECHECK_US};
pub use compute::{audience, compute, members};
pub use condition::{check_audience, check_goal, columns_named, event_types_named};
pub use error::FeatureError;
pub use joined::JoinedPlan;
pub use plan::{ParsedSpec, Period, Plan};
pub use progress::Progress;
pub use scan::{DictionarySizes, Scan, ScanPlan};
pub(crate) use share_out::{Block, share_out};
pub use spec::{Feature, FeatureSpec};
