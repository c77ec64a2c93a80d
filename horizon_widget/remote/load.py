"""Loading a model that a host has: its configuration and tokenizer are loaded here, and no weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from horizon_widget.errors import ModelError
from horizon_widget.models.loading import first_line, read_config, read_tokenizer
from horizon_widget.remote.host import Host
from horizon_widget.remote.remote_model import RemoteModel

TASK = "text-generation"  # part of the key by which nnsight and NDIF identify a model


def load_remote(model: str, *, tokenizer: Any = None, revision: str | None = None) -> RemoteModel:
    """A model on the NDIF host that nnsight is set to.

    Args:
        model: A Hub id, or a folder that is on the host, too; ``"demo"``: that of the demo model.
        tokenizer: Default: the model's own. A copy of it is used.
        revision: Of a Hub id.

    Raises:
        ModelError: if its configuration or tokenizer cannot be loaded here.
        HostError: if the host cannot be reached or refuses the key.
    """
    source, shown = _source(model)
    traced = _without_weights(source, tokenizer, revision, shown)
    host = Host(traced.to_model_key())
    host.check_key()
    return RemoteModel(traced, name=shown, loaded_as=model, host=host)


def _source(model: str) -> tuple[str, str]:
    """Where the configuration is, and how the model is shown."""
    from horizon_widget.models.demo import DEMO_MODEL_NAME, demo_model_folder

    if model == "demo":
        return str(demo_model_folder()), DEMO_MODEL_NAME
    folder = Path(model).expanduser()
    return (str(folder.resolve()), folder.resolve().name) if folder.is_dir() else (model, model)


def _without_weights(source: str, tokenizer: Any, revision: str | None, shown: str) -> Any:
    from nnsight import TransformersModel
    from nnsight.modeling import huggingface

    if Path(source).is_dir():
        huggingface._ID_CACHE[source] = source  # otherwise nnsight asks the Hub for its full name
    try:
        read_config(source, revision, shown)
        tokenizer = read_tokenizer(tokenizer, source, revision)
        return TransformersModel(source, revision=revision, task=TASK, tokenizer=tokenizer, dispatch=False)
    except ModelError:
        raise
    except Exception as error:
        raise ModelError(
            f"model: the configuration and tokenizer of {shown!r} cannot be loaded ({first_line(error)}).",
            advice="Check the name, the network, and for a gated model that you are logged in to the Hub.",
        ) from error
