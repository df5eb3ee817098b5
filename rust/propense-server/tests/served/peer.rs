//! A client that does nothing by itself: what it is told goes over the wire, and what comes back is what the server said.

use bytes::Bytes;
use http::{HeaderMap, Request};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use hyper::client::conn::http2::{SendRequest, handshake};
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::Message;
use tokio::net::TcpStream;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status};

use super::Served;

/// Chunks of a request's body, as they are sent.
type Chunks =
    StreamBody<std::pin::Pin<Box<dyn tokio_stream::Stream<Item = Result<Frame<Bytes>, std::io::Error>> + Send>>>;

/// One connection.
#[derive(Clone)]
pub struct Peer(SendRequest<Chunks>, String);

/// A message as it is framed.
pub fn framed(message: &impl Message) -> Bytes {
    let message = message.encode_to_vec();
    let length = (message.len() as u32).to_be_bytes();
    [&[0][..], &length[..], &message[..]].concat().into()
}

impl Peer {
    pub async fn connect(served: &Served) -> Self {
        let address = served.server().address();
        let stream = TcpStream::connect(address).await.expect("a connection");
        let (peer, connection) = handshake(TokioExecutor::new(), TokioIo::new(stream)).await.expect("HTTP/2");
        tokio::spawn(connection);
        Self(peer, format!("http://{address}"))
    }

    /// Calls a method with what comes out of a channel as its body; gives the status that the server ended it with.
    pub async fn call(&mut self, path: &str, headers: &[(&str, &str)], body: ReceiverStream<Bytes>) -> Status {
        let mut request = Request::post(format!("{}{path}", self.1)).header("content-type", "application/grpc");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let body: Chunks = StreamBody::new(Box::pin(body.map(|chunk| Ok(Frame::data(chunk)))));
        let response = match self.0.send_request(request.body(body).expect("a request")).await {
            Ok(response) => response,
            Err(error) => return Status::unavailable(error.to_string()),
        };
        let (parts, body) = response.into_parts();
        let trailers = match body.collect().await {
            Ok(body) => body.trailers().cloned().unwrap_or_default(),
            Err(error) => return Status::unavailable(error.to_string()),
        };
        let status = |headers: &HeaderMap| Status::from_header_map(headers);
        status(&parts.headers).or_else(|| status(&trailers)).unwrap_or_else(|| Status::new(Code::Unknown, "no status"))
    }

    /// Calls a method with one message.
    pub async fn unary(&mut self, path: &str, headers: &[(&str, &str)], message: Bytes) -> Status {
        let (sender, body) = tokio::sync::mpsc::channel(1);
        sender.send(message).await.expect("room");
        drop(sender);
        self.call(path, headers, ReceiverStream::new(body)).await
    }
}
