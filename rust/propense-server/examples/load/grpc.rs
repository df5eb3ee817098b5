//! Calls over HTTP/2 with as little work as can be: what the generator takes, the server beside it does not have.

use std::error::Error;
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use h2::client::{Builder, SendRequest};
use http::{HeaderMap, Method, Request, Uri, Version};
use prost::Message;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tonic::Code;

/// A message begins with a flag and its length.
const PREFIX_BYTES: usize = 5;
const STREAM_WINDOW: u32 = 1 << 20;
const CONNECTION_WINDOW: u32 = 16 << 20;

/// A connection to a server without transport security.
#[derive(Clone)]
pub(crate) struct Connection {
    requests: SendRequest<Bytes>,
    origin: String,
}

impl Connection {
    pub(crate) async fn open(address: &str) -> Result<Self, Box<dyn Error>> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let mut protocol = Builder::new();
        protocol.initial_window_size(STREAM_WINDOW).initial_connection_window_size(CONNECTION_WINDOW);
        let (requests, connection) = protocol.handshake(stream).await?;
        // What ends a connection, its calls are told.
        tokio::spawn(connection);
        Ok(Self { requests, origin: format!("http://{address}") })
    }

    /// Makes a call with a request that is [`framed`] and takes each message of its answer; gives how it ended.
    pub(crate) async fn call<Answer: Message + Default>(
        self,
        path: &str,
        request: Bytes,
        deadline: Duration,
        take: impl FnMut(Answer),
    ) -> Code {
        match timeout(deadline, self.answered(path, request, deadline, take)).await {
            Ok(Ok(code)) => code,
            Ok(Err(_)) => Code::Unavailable,
            Err(_) => Code::DeadlineExceeded,
        }
    }

    async fn answered<Answer: Message + Default>(
        self,
        path: &str,
        request: Bytes,
        deadline: Duration,
        mut take: impl FnMut(Answer),
    ) -> Result<Code, Box<dyn Error>> {
        let headers = Request::builder()
            .method(Method::POST)
            .uri(Uri::try_from(format!("{}{path}", self.origin))?)
            .version(Version::HTTP_2)
            .header("te", "trailers")
            .header("content-type", "application/grpc")
            .header("grpc-timeout", format!("{}m", deadline.as_millis()))
            .body(())?;
        let (response, mut body) = self.requests.ready().await?.send_request(headers, false)?;
        body.send_data(request, true)?;
        let response = response.await?;
        if let Some(code) = code_of(response.headers()) {
            return Ok(code);
        }
        let (mut body, mut unread) = (response.into_body(), BytesMut::new());
        while let Some(data) = body.data().await {
            let data = data?;
            body.flow_control().release_capacity(data.len())?;
            unread.extend_from_slice(&data);
            while let Some(whole) = next_message(&mut unread) {
                take(Answer::decode(whole)?);
            }
        }
        let trailers = body.trailers().await?;
        Ok(trailers.as_ref().and_then(code_of).unwrap_or(Code::Unknown))
    }
}

/// A message as it is sent.
pub(crate) fn framed(message: &impl Message) -> Bytes {
    let length = message.encoded_len();
    let mut bytes = Vec::with_capacity(PREFIX_BYTES + length);
    bytes.push(0);
    bytes.extend_from_slice(&(length as u32).to_be_bytes());
    message.encode_raw(&mut bytes);
    bytes.into()
}

fn next_message(unread: &mut BytesMut) -> Option<Bytes> {
    let [_flag, length @ ..]: [u8; PREFIX_BYTES] = unread.first_chunk().copied()?;
    let length = u32::from_be_bytes(length) as usize;
    if unread.len() < PREFIX_BYTES + length {
        return None;
    }
    unread.advance(PREFIX_BYTES);
    Some(unread.split_to(length).freeze())
}

fn code_of(headers: &HeaderMap) -> Option<Code> {
    headers.get("grpc-status").map(|code| Code::from_bytes(code.as_bytes()))
}
