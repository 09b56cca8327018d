"""What goes wrong between here and the Hub, each as one sentence with its fix.

Exit 2 where the id is wrong or the disk is full, 3 where something is missing: the network, a
token, access.
"""

from __future__ import annotations

import errno
from typing import Any

from edaformer.errors import CheckpointError, EdaformerError, InputError, MissingError
from edaformer.families.identity import HubId
from edaformer.printable import in_one_line

_TOKEN = "hf auth login, or HF_TOKEN in the environment"  # noqa: S105  # the ways to give one
_SHOWN = 160  # characters of a reason


def refusal(wanted: HubId, error: Exception) -> EdaformerError:
    """The error of ours for one of huggingface_hub's, or of what it stands on."""
    from huggingface_hub import errors

    if isinstance(error, errors.LocalEntryNotFoundError):
        return unreachable(wanted, error.__cause__ or error)
    if isinstance(error, errors.HfHubHTTPError):
        return _answered(wanted, error)
    if isinstance(error, OSError) and error.errno is not None:
        return _disk(error)
    return MissingError(
        f"fetching {wanted} from {_endpoint()} broke off ({_reason(error)}); what was fetched "
        "whole is kept: type the line again"
    )


def not_cached(wanted: HubId) -> EdaformerError:
    """For one that is wanted without the network."""
    return MissingError(
        f"{wanted} is not whole in the Hub's cache ({_cache()}), and HF_HUB_OFFLINE forbids to "
        "fetch it; leave that unset once, or name a folder"
    )


def unreachable(wanted: HubId, why: BaseException) -> EdaformerError:
    """For one that is not in the cache, while nobody answers."""
    return MissingError(
        f"there is nothing at {wanted} on this machine, it is not in the Hub's cache ({_cache()}), "
        f"and {_endpoint()} does not answer ({_reason(why)}); check the path, or the network"
    )


def no_weights(wanted: HubId, *, pickled: bool) -> EdaformerError:
    """For a repository without safetensors."""
    if pickled:
        return CheckpointError(
            f"{wanted} has its weights as pytorch_model.bin alone, a pickle; save it once as "
            f"safetensors (SegformerForSemanticSegmentation.from_pretrained('{wanted.id}')"
            ".save_pretrained('folder')) and name that folder"
        )
    return CheckpointError(
        f"{wanted} has no model.safetensors; name a model that was saved by save_pretrained"
    )


def no_config(wanted: HubId) -> EdaformerError:
    """For a repository that is no model of transformers'."""
    return CheckpointError(
        f"{wanted} has no config.json, so it is no folder of a model; name one of "
        "SegformerForSemanticSegmentation"
    )


def damaged(wanted: HubId, name: str) -> EdaformerError:
    """For a file of another hash than the Hub says; it is removed."""
    return MissingError(
        f"{name} of {wanted} was not as the Hub has it, by its hash, and was removed from the "
        "cache; type the line again"
    )


def _answered(wanted: HubId, error: Any) -> EdaformerError:
    """The Hub said no."""
    from huggingface_hub import errors

    status = error.response.status_code
    if isinstance(error, errors.GatedRepoError):
        return MissingError(
            f"{wanted.id} is given only to those who asked for it: ask at {_endpoint()}/"
            f"{wanted.id}, then give the token of that account ({_TOKEN})"
        )
    if isinstance(error, errors.RepositoryNotFoundError):
        return CheckpointError(
            f"there is nothing at {wanted} on this machine, and {_endpoint()} has no model of that "
            f"id; check the path or the id, and for a private one give a token ({_TOKEN})"
        )
    if isinstance(error, errors.RevisionNotFoundError):
        return CheckpointError(
            f"{wanted.id} has no revision '{wanted.revision}'; name a branch, a tag or a commit of "
            f"{_endpoint()}/{wanted.id}/commits/main"
        )
    if status in {401, 403}:
        return MissingError(
            f"{_endpoint()} refuses {wanted} to the token it was given ({status}); give one that "
            f"may read it ({_TOKEN})"
        )
    return MissingError(
        f"{_endpoint()} did not give {wanted} ({_reason(error)}); try again in a while"
    )


def _disk(error: OSError) -> EdaformerError:
    reason = error.strerror or str(error)
    space = error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
    fix = "free some space, or name another place" if space else "name another place"
    return InputError(f"cannot write the Hub's cache, {_cache()}: {reason}; {fix} with HF_HOME")


def _reason(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return in_one_line(lines[0] if lines else type(error).__name__)[:_SHOWN]


def _endpoint() -> str:
    from huggingface_hub import constants

    return in_one_line(constants.ENDPOINT)


def _cache() -> str:
    from huggingface_hub import constants

    return str(constants.HF_HUB_CACHE)
