//! The metrics page: `GET /metrics` over plain HTTP/1.1, one answer a connection.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};

use crate::backend::Backend;
use crate::state::State;

/// A request line and headers that are longer are nobody's who wants metrics.
const REQUEST_BYTES: usize = 8 << 10;
/// Who has not asked and read by then is hung up on.
const PATIENCE: Duration = Duration::from_secs(5);
/// Readers at once.
const READERS: usize = 16;

/// Answers until it is dropped.
pub(crate) async fn serve<B: Backend>(listener: TcpListener, state: Arc<State<B>>) {
    let readers = Arc::new(Semaphore::new(READERS));
    loop {
        let place = Arc::clone(&readers).acquire_owned().await;
        let Ok((stream, _)) = listener.accept().await else {
            sleep(Duration::from_millis(50)).await;
            continue;
        };
        let state = Arc::clone(&state);
        tokio::spawn(async move {
            let _ = timeout(PATIENCE, answer(stream, &state)).await;
            drop(place);
        });
    }
}

async fn answer<B: Backend>(mut stream: TcpStream, state: &State<B>) -> std::io::Result<()> {
    let mut request = Vec::new();
    while !request.windows(4).any(|end| end == b"\r\n\r\n") && request.len() < REQUEST_BYTES {
        if stream.read_buf(&mut request).await? == 0 {
            return Ok(());
        }
    }
    let line = request.split(|byte| *byte == b'\r').next().unwrap_or_default();
    let (status, page) = match line.split(|byte| *byte == b' ').collect::<Vec<_>>()[..] {
        [b"GET", b"/metrics", _] => ("200 OK", state.metrics.page(&state.gauges())),
        [b"GET", _, _] => ("404 Not Found", "the metrics are at /metrics\n".to_owned()),
        _ => ("405 Method Not Allowed", "GET only\n".to_owned()),
    };
    let length = page.len();
    let head = format!(
        "HTTP/1.1 {status}\r\ncontent-type: text/plain; version=0.0.4; charset=utf-8\r\n\
         content-length: {length}\r\nconnection: close\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(page.as_bytes()).await?;
    stream.shutdown().await
}
