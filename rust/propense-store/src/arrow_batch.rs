//! A record batch or dictionary batch of an Arrow file: its message and its body.

use arrow_ipc::{
    Block, Buffer, DictionaryBatchBuilder, FieldNode, MessageBuilder, MessageHeader, MetadataVersion,
    RecordBatchBuilder,
};
use flatbuffers::FlatBufferBuilder;

use crate::arrow_file::write_message;
use crate::error::StoreError;
use crate::manifest::Extent;
use crate::part::Part;
use crate::sink::Sink;

/// Every message and buffer begins at a multiple of so many bytes.
pub(crate) const ALIGNMENT: u64 = 64;

/// A batch whose buffers are about to be written.
#[derive(Default)]
pub(crate) struct Batch<'a> {
    pub(crate) rows: u64,
    /// One entry a column.
    pub(crate) nodes: Vec<FieldNode>,
    /// The columns' buffers in Arrow's order.
    pub(crate) named: Vec<Part<'a>>,
    /// Buffers of which the message says nothing.
    pub(crate) unnamed: Vec<Part<'a>>,
}

/// A batch in its file.
pub(crate) struct Written {
    pub(crate) block: Block,
    pub(crate) named: Vec<Extent>,
    pub(crate) unnamed: Vec<Extent>,
}

impl Batch<'_> {
    /// Writes the message, then the body; a record batch's body begins the file's pages.
    pub(crate) fn write(self, sink: &mut Sink<'_>, dictionary: Option<i64>) -> Result<Written, StoreError> {
        let mut bytes = 0;
        let mut place = |part: &Part<'_>| {
            let extent = Extent { start: bytes, bytes: part.bytes };
            bytes = (bytes + part.bytes).next_multiple_of(ALIGNMENT);
            extent
        };
        let mut named: Vec<Extent> = self.named.iter().map(&mut place).collect();
        let mut unnamed: Vec<Extent> = self.unnamed.iter().map(&mut place).collect();
        let message = message(self.rows, &self.nodes, &named, bytes, dictionary);
        let (start, message_bytes) = write_message(sink, &message)?;
        if dictionary.is_none() {
            sink.begin_pages();
        }
        let body = sink.position();
        for (part, extent) in self.named.into_iter().chain(self.unnamed).zip(named.iter_mut().chain(&mut unnamed)) {
            extent.start += body;
            for piece in part.pieces {
                sink.write(&piece)?;
            }
            sink.pad_to(sink.position().next_multiple_of(ALIGNMENT))?;
        }
        Ok(Written { block: Block::new(start as i64, message_bytes as i32, bytes as i64), named, unnamed })
    }
}

/// The message of a record batch or, with an id, of a dictionary.
fn message(rows: u64, nodes: &[FieldNode], buffers: &[Extent], body_bytes: u64, dictionary: Option<i64>) -> Vec<u8> {
    let mut builder = FlatBufferBuilder::new();
    let buffers: Vec<Buffer> =
        buffers.iter().map(|buffer| Buffer::new(buffer.start as i64, buffer.bytes as i64)).collect();
    let (nodes, buffers) = (builder.create_vector(nodes), builder.create_vector(&buffers));
    let mut batch = RecordBatchBuilder::new(&mut builder);
    batch.add_length(rows as i64);
    batch.add_nodes(nodes);
    batch.add_buffers(buffers);
    let batch = batch.finish();
    let (kind, header) = match dictionary {
        None => (MessageHeader::RecordBatch, batch.as_union_value()),
        Some(id) => {
            let mut dictionary = DictionaryBatchBuilder::new(&mut builder);
            dictionary.add_id(id);
            dictionary.add_data(batch);
            (MessageHeader::DictionaryBatch, dictionary.finish().as_union_value())
        }
    };
    let mut message = MessageBuilder::new(&mut builder);
    message.add_version(MetadataVersion::V5);
    message.add_header_type(kind);
    message.add_bodyLength(body_bytes as i64);
    message.add_header(header);
    let root = message.finish();
    builder.finish(root, None);
    builder.finished_data().to_vec()
}
