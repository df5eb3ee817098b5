//! The messages, clients and servers of package `propense.v1`, as generated; the `.proto` files document them.

#![allow(missing_docs, unreachable_pub, clippy::all, clippy::pedantic, rustdoc::all)]

tonic::include_proto!("propense.v1");

/// The contract as a compiled descriptor set: what reflection shows and what the tests go by.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/propense.v1.bin"));
