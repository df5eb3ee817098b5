//! Scores as a self-contained Arrow IPC stream.

use std::sync::Arc;

use arrow_array::{ArrayRef, DictionaryArray, Float32Array, RecordBatch, StringArray, UInt8Array};
use arrow_ipc::writer::StreamWriter;
use arrow_schema::{ArrowError, DataType, Field, Schema};
use bytes::Bytes;

use crate::backend::{ScoredUser, Tier};
use crate::error::ServiceError;

/// Users and their scores, as `StreamScoresResponse.arrow_ipc` describes.
pub(crate) fn arrow_of(rows: &[(String, ScoredUser)]) -> Result<Bytes, ServiceError> {
    let unfit = |_: ArrowError| ServiceError::Internal { problem: "scores do not make an Arrow batch" };
    let users: StringArray = rows.iter().map(|(user, _)| Some(user.as_str())).collect();
    let scores: Float32Array = rows.iter().map(|(_, scored)| Some(scored.score)).collect();
    let percentiles: Float32Array = rows.iter().map(|(_, scored)| Some(scored.percentile)).collect();
    let tiers: UInt8Array = rows.iter().map(|(_, scored)| Some(scored.tier as u8)).collect();
    let names = Arc::new(StringArray::from_iter_values(Tier::NAMES));
    let tiers = DictionaryArray::try_new(tiers, names).map_err(unfit)?;
    let columns: [(&str, ArrayRef); 4] = [
        ("user_id", Arc::new(users)),
        ("score", Arc::new(scores)),
        ("percentile", Arc::new(percentiles)),
        ("tier", Arc::new(tiers)),
    ];
    let field = |(name, column): &(&str, ArrayRef)| Field::new(*name, DataType::clone(column.data_type()), false);
    let schema = Arc::new(Schema::new(columns.iter().map(field).collect::<Vec<_>>()));
    let columns = columns.into_iter().map(|(_, column)| column).collect();
    let batch = RecordBatch::try_new(Arc::clone(&schema), columns).map_err(unfit)?;
    let mut writer = StreamWriter::try_new(Vec::new(), &schema).map_err(unfit)?;
    writer.write(&batch).map_err(unfit)?;
    writer.into_inner().map(Bytes::from).map_err(unfit)
}
