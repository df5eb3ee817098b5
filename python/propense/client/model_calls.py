"""Calls of the model service."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from functools import cached_property

from propense._proto import models_pb2
from propense._proto.models_pb2_grpc import ModelServiceStub
from propense.client import answers
from propense.client.answers import ReloadedModel, ServedModel
from propense.client.calls import Calls, names_of
from propense.client.unknown_names import models_named


class ModelCalls(Calls):
    """The models that are served."""

    @cached_property
    def _models(self) -> ModelServiceStub:
        return ModelServiceStub(self._connection.channel)

    def list_models(self, *, timeout: float | None = None) -> list[ServedModel]:
        """Give every model that is served, ascending by name."""
        answer = self._call(self._models.ListModels, models_pb2.ListModelsRequest(), timeout)
        return [answers.served_model(model) for model in answer.models]

    def get_model(self, name: str, *, timeout: float | None = None) -> ServedModel:
        """Give one model.

        Raises
        ------
        NotFoundError
            It is not served.
        """
        request = models_pb2.GetModelRequest(name=name)
        with self._named([name]):
            answer = self._call(self._models.GetModel, request, timeout)
        return answers.served_model(answer.model)

    def reload_models(
        self, names: str | Sequence[str] = (), *, timeout: float | None = None
    ) -> list[ReloadedModel]:
        """Have the server look at its models' folder again, and say what became of each.

        Parameters
        ----------
        names
            Models to look at; left out: all.
        timeout
            Seconds; left out: the client's.
        """
        request = models_pb2.ReloadModelsRequest(names=names_of(names))
        answer = self._call(self._models.ReloadModels, request, timeout)
        return [answers.reloaded_model(model) for model in answer.models]

    def _named(self, models: Sequence[str]) -> AbstractContextManager[None]:
        """Have a call that asks for models name the one that is not served."""
        return models_named(models, self.list_models)
