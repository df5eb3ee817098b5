//! The models that are served.

use std::collections::BTreeSet;
use std::sync::Arc;

use tonic::{Request, Response, Status};

use crate::backend::Backend;
use crate::computing::compute;
use crate::error::ServiceError;
use crate::models::is_name;
use crate::proto::model_service_server::ModelService;
use crate::proto::{
    GetModelRequest, GetModelResponse, ListModelsRequest, ListModelsResponse, ReloadModelsRequest, ReloadModelsResponse,
};
use crate::services::held;
use crate::state::State;

pub(crate) struct Models<B: Backend>(pub(crate) Arc<State<B>>);

#[tonic::async_trait]
impl<B: Backend> ModelService for Models<B> {
    async fn list_models(&self, _: Request<ListModelsRequest>) -> Result<Response<ListModelsResponse>, Status> {
        self.0.backend()?;
        let models = self.0.models.current();
        let models = models.values().map(|served| served.description.clone()).collect();
        Ok(Response::new(ListModelsResponse { models }))
    }

    async fn get_model(&self, request: Request<GetModelRequest>) -> Result<Response<GetModelResponse>, Status> {
        self.0.backend()?;
        let served = self.0.model(&request.into_inner().name, "name")?;
        Ok(Response::new(GetModelResponse { model: Some(served.description.clone()) }))
    }

    async fn reload_models(
        &self,
        request: Request<ReloadModelsRequest>,
    ) -> Result<Response<ReloadModelsResponse>, Status> {
        let held = held(request.extensions());
        let names = request.into_inner().names;
        if let Some(place) = names.iter().position(|name| !is_name(name)) {
            return Err(ServiceError::invalid(format!("names[{place}]"), "not a model's name").into());
        }
        let names: BTreeSet<String> = names.into_iter().collect();
        let state = Arc::clone(&self.0);
        let models = compute(held, move || state.models.reload(state.backend()?, &names, &state.metrics, &state.log));
        Ok(Response::new(ReloadModelsResponse { models: models.await? }))
    }
}
