//! Standard health and reflection.

use tonic::server::NamedService;
use tonic::service::RoutesBuilder;
use tonic_health::ServingStatus;
use tonic_health::pb::health_server::HealthServer;
use tonic_health::server::{HealthReporter, HealthService as Statuses};
use tonic_reflection::server::Builder;

use crate::proto::DESCRIPTORS;
use crate::proto::event_service_server::SERVICE_NAME as EVENTS;
use crate::proto::model_service_server::SERVICE_NAME as MODELS;
use crate::proto::scoring_service_server::SERVICE_NAME as SCORING;
use crate::proto::segment_service_server::SERVICE_NAME as SEGMENTS;
use crate::proto::user_service_server::SERVICE_NAME as USERS;

/// The services that health speaks of, besides the server as a whole.
const SERVICES: [&str; 6] = ["", SCORING, EVENTS, USERS, MODELS, SEGMENTS];

/// Tells whether the server takes calls.
pub(crate) struct Health(HealthReporter);

/// Answers those who ask.
pub(crate) struct HealthService(HealthServer<Statuses>);

impl Health {
    /// Not serving, for a start.
    pub(crate) async fn new() -> (Self, HealthService) {
        let health = Self(HealthReporter::new());
        health.set(false).await;
        let service = HealthServer::new(Statuses::from_health_reporter(health.0.clone()));
        (health, HealthService(service))
    }

    pub(crate) async fn set(&self, serving: bool) {
        let status = if serving { ServingStatus::Serving } else { ServingStatus::NotServing };
        for service in SERVICES {
            self.0.set_service_status(service, status).await;
        }
    }
}

impl HealthService {
    pub(crate) fn add_to(self, routes: &mut RoutesBuilder) {
        routes.add_service(self.0);
    }
}

/// Adds both versions of reflection.
pub(crate) fn add_reflection(routes: &mut RoutesBuilder) {
    let builder = || {
        Builder::configure()
            .register_encoded_file_descriptor_set(DESCRIPTORS)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
            // What the details of errors are made of, so that grpcurl shows them.
            .register_encoded_file_descriptor_set(tonic_types::pb::FILE_DESCRIPTOR_SET)
    };
    // Descriptors are the build's own; if they did not fit, the server would go without reflection and a test would fail.
    if let Ok(service) = builder().build_v1() {
        add(routes, service);
    }
    if let Ok(service) = builder().build_v1alpha() {
        add(routes, service);
    }
}

fn add<S>(routes: &mut RoutesBuilder, service: S)
where
    S: tower::Service<http::Request<tonic::body::Body>, Response = http::Response<tonic::body::Body>>
        + tower::Service<http::Request<tonic::body::Body>, Error = std::convert::Infallible>
        + NamedService
        + Clone
        + Send
        + Sync
        + 'static,
    S::Future: Send + 'static,
{
    routes.add_service(service);
}
