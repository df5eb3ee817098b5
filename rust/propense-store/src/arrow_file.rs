//! An Arrow IPC file of one record batch, written front to back without a second copy of its columns.
//!
//! The batch comes first, then the dictionaries; all buffers begin at multiples of 64 bytes and none is compressed, so
//! that each can be used where it is mapped. The order within the file is free, as readers go by the footer.

use arrow_ipc::convert::IpcSchemaEncoder;
use arrow_ipc::writer::{DictionaryTracker, IpcDataGenerator, IpcWriteOptions};
use arrow_ipc::{Block, FieldNode, FooterBuilder, MetadataVersion};
use arrow_schema::{Field, Schema};
use flatbuffers::FlatBufferBuilder;

use crate::arrow_batch::{ALIGNMENT, Batch, Written};
use crate::arrow_column::ArrowColumn;
use crate::error::StoreError;
use crate::manifest::{Extent, TextsPlace};
use crate::part::{Part, Texts};
use crate::sink::Sink;

const MAGIC: &[u8] = b"ARROW1";
/// Begins a message; followed by zeros it ends the messages.
const CONTINUATION: [u8; 4] = [0xff; 4];
/// Bytes before a message: the continuation and the message's length.
const PREFIX_BYTES: u64 = 8;

/// Where a column came to stand.
pub(crate) struct Placed {
    /// Its buffers but for the validity bitmap, in Arrow's order.
    pub(crate) buffers: Vec<Extent>,
    /// Its values with their missing marks.
    pub(crate) values: Extent,
    pub(crate) dictionary: Option<TextsPlace>,
}

/// Writes a whole file; its pages are the values of all columns and the dictionary of the first.
pub(crate) fn write(sink: &mut Sink<'_>, rows: u64, columns: Vec<ArrowColumn<'_>>) -> Result<Vec<Placed>, StoreError> {
    let schema = Schema::new(columns.iter().map(|column| column.field.clone()).collect::<Vec<Field>>());
    let (mut tracker, options) = (DictionaryTracker::new(false), IpcWriteOptions::default());
    let message = IpcDataGenerator::default().schema_to_bytes_with_dictionary_tracker(&schema, &mut tracker, &options);
    sink.write(MAGIC)?;
    sink.pad_to(PREFIX_BYTES)?;
    write_message(sink, &message.ipc_message)?;

    let mut batch = Batch { rows, ..Batch::default() };
    let mut dictionaries = Vec::new();
    let mut shapes = Vec::new();
    for column in columns {
        batch.nodes.push(FieldNode::new(rows as i64, column.nulls as i64));
        shapes.push((column.buffers.len(), column.marked.is_some()));
        batch.named.push(column.validity);
        batch.named.extend(column.buffers);
        batch.unnamed.extend(column.marked);
        dictionaries.push(column.dictionary);
    }
    let batch = batch.write(sink, None)?;
    let mut placed = placed(&shapes, &batch);
    let mut blocks = Vec::new();
    for (number, (texts, column)) in dictionaries.into_iter().zip(&mut placed).enumerate() {
        if let Some(texts) = texts {
            let (block, place) = write_dictionary(sink, blocks.len() as i64, texts)?;
            blocks.push(block);
            column.dictionary = Some(place);
        }
        if number == 0 {
            sink.end_pages();
        }
    }
    write_footer(sink, &schema, &blocks, batch.block)?;
    Ok(placed)
}

/// Deals the extents out to columns of so many buffers each, beside the bitmap, some with marked values.
fn placed(shapes: &[(usize, bool)], batch: &Written) -> Vec<Placed> {
    let (mut named, mut unnamed) = (batch.named.iter().copied(), batch.unnamed.iter().copied());
    let mut placed = Vec::with_capacity(shapes.len());
    for &(buffers, is_marked) in shapes {
        let buffers: Vec<Extent> = named.by_ref().skip(1).take(buffers).collect();
        let values = if is_marked { unnamed.next() } else { buffers.last().copied() };
        placed.push(Placed { buffers, values: values.unwrap_or(Extent { start: 0, bytes: 0 }), dictionary: None });
    }
    placed
}

fn write_dictionary(sink: &mut Sink<'_>, id: i64, texts: Texts<'_>) -> Result<(Block, TextsPlace), StoreError> {
    let Texts { count, offsets, bytes } = texts;
    let rows = offsets.bytes / size_of::<i64>() as u64 - 1;
    let nodes = vec![FieldNode::new(rows as i64, 0)];
    let batch = Batch { rows, nodes, named: vec![Part::empty(), offsets, bytes], unnamed: Vec::new() };
    let written = batch.write(sink, Some(id))?;
    let place = TextsPlace { count, offsets: written.named[1], bytes: written.named[2] };
    Ok((written.block, place))
}

/// Writes a message so that what follows is aligned; gives its start, and its length with the prefix.
pub(crate) fn write_message(sink: &mut Sink<'_>, message: &[u8]) -> Result<(u64, u64), StoreError> {
    let start = sink.position();
    let end = (start + PREFIX_BYTES + message.len() as u64).next_multiple_of(ALIGNMENT);
    let length = (end - start - PREFIX_BYTES) as i32;
    sink.write(&CONTINUATION)?;
    sink.write(&length.to_le_bytes())?;
    sink.write(message)?;
    sink.pad_to(end)?;
    Ok((start, end - start))
}

fn write_footer(sink: &mut Sink<'_>, schema: &Schema, dictionaries: &[Block], batch: Block) -> Result<(), StoreError> {
    let mut builder = FlatBufferBuilder::new();
    let dictionaries = builder.create_vector(dictionaries);
    let batches = builder.create_vector(&[batch]);
    // Numbers the dictionaries as the schema's message did: in order of columns, from 0.
    let mut tracker = DictionaryTracker::new(false);
    let encoder = IpcSchemaEncoder::new();
    let schema = encoder.with_dictionary_tracker(&mut tracker).schema_to_fb_offset(&mut builder, schema);
    let mut footer = FooterBuilder::new(&mut builder);
    footer.add_version(MetadataVersion::V5);
    footer.add_schema(schema);
    footer.add_dictionaries(dictionaries);
    footer.add_recordBatches(batches);
    let footer = footer.finish();
    builder.finish(footer, None);
    let footer = builder.finished_data();
    sink.write(&CONTINUATION)?;
    sink.write(&0_i32.to_le_bytes())?;
    sink.write(footer)?;
    sink.write(&(footer.len() as i32).to_le_bytes())?;
    sink.write(MAGIC)
}
