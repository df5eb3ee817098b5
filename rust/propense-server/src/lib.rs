//! Scores, events, users and models over gRPC.
