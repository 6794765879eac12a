"""MLflow's model registry: each network once, and aliases for the ones to use."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from icsd.tracking.names import CHAMPION, Tag

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

_DESCRIPTION_LENGTH = 5000


@dataclass(frozen=True)
class Version:
    """A registered network."""

    number: str
    tags: Mapping[str, str]


class Registry:
    """The registered models of one store, through its ``client``."""

    def __init__(self, client: "MlflowClient") -> None:
        self._client = client

    def describe(self, name: str, description: str) -> None:
        """Create the registered model ``name``, or replace its description."""
        from mlflow.exceptions import MlflowException

        try:
            self._client.create_registered_model(name, description=description)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
            self._client.update_registered_model(name, description)

    def put(
        self, name: str, *, run_id: str, weights_sha256: str, tags: Mapping[str, str], card: str
    ) -> Version | None:
        """Register the model that a run logged; if its weights are registered, update their tags and card.

        Args:
            name: The registered model.
            run_id: The run whose last logged model becomes a version.
            weights_sha256: Digest of the weights, which identifies a network.
            tags: Tags of the version.
            card: The model card in Markdown, cut to the length that MLflow's database allows.

        Returns:
            The version; None if the run logged no model, or the store does not have the run.
        """
        card = card[:_DESCRIPTION_LENGTH]
        tags = {**tags, Tag.WEIGHTS_SHA256: weights_sha256}
        known = self._client.search_model_versions(f"name = '{name}'")
        same = next((each for each in known if each.tags.get(Tag.WEIGHTS_SHA256) == weights_sha256), None)
        if same is None:
            model_id = self._last_model(run_id)
            if model_id is None:
                return None
            made = self._client.create_model_version(
                name, self._source(model_id), run_id, tags=dict(tags), description=card, model_id=model_id
            )
            return Version(str(made.version), tags)
        for key, value in tags.items():
            if same.tags.get(key) != value:
                self._client.set_model_version_tag(name, same.version, key, value)
        if same.description != card:
            self._client.update_model_version(name, same.version, card)
        return Version(str(same.version), tags)

    def alias(self, name: str, alias: str, number: str) -> None:
        """Make ``models:/<name>@<alias>`` refer to this version."""
        self._client.set_registered_model_alias(name, alias, number)

    def champion(self, name: str) -> Version | None:
        """The version that ``models:/<name>@champion`` refers to; None without one."""
        from mlflow.exceptions import MlflowException

        try:
            version: Any = self._client.get_model_version_by_alias(name, CHAMPION)
        except MlflowException as error:
            if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
                return None
            raise
        return Version(str(version.version), dict(version.tags))

    def note(self, name: str, key: str, text: str) -> None:
        """Set a tag of the registered model."""
        self._client.set_registered_model_tag(name, key, text)

    def _last_model(self, run_id: str) -> str | None:
        """The id of the last model that a run logged; the run of a reused network may be in another store."""
        from mlflow.exceptions import MlflowException

        try:
            outputs = self._client.get_run(run_id).outputs
        except MlflowException as error:
            if error.error_code == "RESOURCE_DOES_NOT_EXIST":
                return None
            raise
        return str(outputs.model_outputs[-1].model_id) if outputs and outputs.model_outputs else None

    def _source(self, model_id: str) -> str:
        """The location of a logged model: its id for a server, its folder for a database."""
        # For a database, MLflow would look the id up in the process's default store, not in the client's.
        if self._client.tracking_uri.startswith("http"):
            return f"models:/{model_id}"
        return str(self._client.get_logged_model(model_id).artifact_location)
