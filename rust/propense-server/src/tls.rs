//! TLS from PEM files, and whether a server may be reached from outside at all.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{RootCertStore, ServerConfig};

use crate::auth::Access;
use crate::error::ServerError;
use crate::options::TlsFiles;

/// Refuses an address that other machines can reach unless the server proves itself and so do its callers.
pub(crate) fn check_exposure(address: SocketAddr, tls: Option<&TlsFiles>, access: &Access) -> Result<(), ServerError> {
    let missing = match tls {
        _ if address.ip().to_canonical().is_loopback() => return Ok(()),
        None => "there is no TLS certificate",
        Some(TlsFiles { client_ca: None, .. }) if !access.needs_token() => {
            "there are neither tokens nor a client certificate authority"
        }
        Some(_) => return Ok(()),
    };
    Err(ServerError::Exposed { address, missing })
}

/// What makes TLS connections of plain ones.
pub(crate) fn acceptor(files: &TlsFiles) -> Result<TlsAcceptor, ServerError> {
    let certificates = certificates(&files.certificate)?;
    let key = PrivateKeyDer::from_pem_file(&files.key).map_err(|error| file(&files.key, &error))?;
    let provider = Arc::new(ring::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions();
    let builder = builder.map_err(|error| file(&files.certificate, &error))?;
    let builder = match &files.client_ca {
        None => builder.with_no_client_auth(),
        Some(path) => {
            let mut roots = RootCertStore::empty();
            for certificate in self::certificates(path)? {
                roots.add(certificate).map_err(|error| file(path, &error))?;
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
            builder.with_client_cert_verifier(verifier.map_err(|error| file(path, &error))?)
        }
    };
    let config = builder.with_single_cert(certificates, key).map_err(|error| file(&files.certificate, &error));
    let mut config = config?;
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, ServerError> {
    let found = CertificateDer::pem_file_iter(path).map_err(|error| file(path, &error))?;
    let found = found.collect::<Result<Vec<_>, _>>().map_err(|error| file(path, &error))?;
    if found.is_empty() {
        return Err(file(path, &"no certificate in it; expected PEM"));
    }
    Ok(found)
}

fn file(path: &Path, problem: &dyn ToString) -> ServerError {
    ServerError::File { path: path.to_owned(), problem: problem.to_string() }
}
