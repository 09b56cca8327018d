"""Fetch a model's folder from the Hub: what a SegFormer is read from, at one commit, and no more.

huggingface_hub does it, into its own cache, with its own token, address and offline mode (HF_HOME,
HF_TOKEN, HF_ENDPOINT, HF_HUB_OFFLINE). A file gets its name when it is whole; each is held against
the hash by which the cache names it. What a repository lacks is remembered in the cache as well, so
that offline nobody takes a folder for whole that is not.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from edaformer import files
from edaformer.errors import EdaformerError, MissingError, require
from edaformer.families.hub import refusals
from edaformer.families.hub.told import bar, hushed
from edaformer.families.identity import Hub, HubId
from edaformer.families.reading.folder import ADAPTER, ADAPTER_WEIGHTS, INDEX, WEIGHTS
from edaformer.families.reading.json_file import read_object

CONFIG, PREPROCESSOR = "config.json", "preprocessor_config.json"
_PICKLES = ("pytorch_model.bin", "pytorch_model.bin.index.json")
_NOT_ITS_FAULT = 500  # from here on a status says that the Hub could not answer
Tell = Callable[[str], None]


@dataclass(frozen=True)
class Fetched:
    """A folder of the Hub's cache, and which of its files were asked for."""

    folder: Path
    hub: Hub
    files: tuple[str, ...]

    @property
    def sha256(self) -> str:
        """As of a folder with these files alone: others may fetch more into it."""
        return files.sha256_of_all(self.folder / name for name in self.files)


def fetch(wanted: HubId, tell: Tell = lambda _: None) -> Fetched:
    """The folder of a model, fetched where it is not in the cache.

    Args:
        wanted: the id and revision.
        tell: hears what is being done.

    Raises:
        CheckpointError: if there is no such model or revision, or it holds no safetensors.
        InputError: if the cache cannot be written.
        MissingError: without huggingface_hub, the network, or a token where one is needed; or if
            what came was damaged.
    """
    _require(wanted)
    with _refused(wanted):
        commit = _commit(wanted, tell)
        repository = _Repository(wanted, commit, tell)
        names = tuple(_names(repository))
        return Fetched(repository.folder, Hub(wanted.id, wanted.revision, commit), names)


def _require(wanted: HubId) -> None:
    try:
        require("huggingface_hub", "segformer")
    except MissingError as error:
        raise MissingError(
            f"there is nothing at {wanted} on this machine, and as an id of the Hugging Face Hub "
            f"{error}"
        ) from error


@contextmanager
def _refused(wanted: HubId) -> Iterator[None]:
    try:
        with hushed():
            yield
    except EdaformerError:
        raise
    except Exception as error:  # its own, httpx's, hf_xet's: what fetching stands on is the Hub's
        raise refusals.refusal(wanted, error) from error


def _commit(wanted: HubId, tell: Tell) -> str:
    """The commit that a revision is: as the Hub says, or the cache where the Hub is silent."""
    from huggingface_hub import constants, hf_hub_download

    if wanted.is_pinned:
        return wanted.revision
    if constants.HF_HUB_OFFLINE:
        cached = _cached_commit(wanted)
        if cached is None:
            raise refusals.not_cached(wanted)
        return cached
    tell(f"asking {constants.ENDPOINT} for {wanted}")
    silence = _ask(wanted)
    if silence is not None:
        cached = _cached_commit(wanted)
        if cached is None:
            raise refusals.unreachable(wanted, silence) from silence
        tell(f"{constants.ENDPOINT} cannot be reached: taking {wanted} as the cache last had it, "
             f"commit {cached}")  # fmt: skip
        return cached
    # fetched by its revision, so that the cache remembers which commit that was
    made = hf_hub_download(
        wanted.id, CONFIG, revision=wanted.revision, tqdm_class=bar(CONFIG, tell)
    )
    return Path(made).parent.name


def _ask(wanted: HubId) -> Exception | None:
    """None where the Hub has it, what kept it from answering where it is silent; else raises.

    hf_hub_download would take a refusal for silence, and quietly what the cache has.
    """
    from huggingface_hub import get_hf_file_metadata, hf_hub_url
    from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError, HTTPError

    try:
        get_hf_file_metadata(hf_hub_url(wanted.id, CONFIG, revision=wanted.revision))
    except EntryNotFoundError as error:
        raise refusals.no_config(wanted) from error
    except HTTPError as error:  # nobody there, or too slow, or an answer
        if isinstance(error, HfHubHTTPError) and error.response.status_code < _NOT_ITS_FAULT:
            raise
        silence: Exception = error
        return silence
    return None


def _cached_commit(wanted: HubId) -> str | None:
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(wanted.id, CONFIG, revision=wanted.revision)
    return Path(found).parent.name if isinstance(found, str) else None


def _names(repository: _Repository) -> Iterator[str]:
    """Fetch each file that matters, and say its name."""
    if not repository.has(CONFIG):
        raise refusals.no_config(repository.wanted)
    yield CONFIG
    yield from (name for name in (PREPROCESSOR, ADAPTER) if repository.has(name))
    if (repository.folder / ADAPTER).is_file() and repository.has(ADAPTER_WEIGHTS):
        yield ADAPTER_WEIGHTS
    if repository.has(WEIGHTS):
        yield WEIGHTS
    elif repository.has(INDEX):
        yield INDEX
        yield from (name for name in _shards(repository.folder) if repository.has(name))
    else:
        pickled = any(repository.lists(name) for name in _PICKLES)
        raise refusals.no_weights(repository.wanted, pickled=pickled)


def _shards(folder: Path) -> list[str]:
    """Those that can be files of the folder; the reader refuses an index that names others."""
    places = read_object(folder / INDEX).get("weight_map")
    names = {name for name in places.values() if isinstance(name, str)} if isinstance(
        places, dict) else set()  # fmt: skip
    return sorted(name for name in names if name.isprintable() and not set(name) & set("/\\:"))


class _Repository:
    """A model at a commit: which files it has, fetched as they are asked for."""

    def __init__(self, wanted: HubId, commit: str, tell: Tell) -> None:
        self.wanted, self._commit, self._tell = wanted, commit, tell
        self._folder: Path | None = None

    @property
    def folder(self) -> Path:
        """Where they lie."""
        assert self._folder is not None, "config.json is asked for first"
        return self._folder

    def has(self, name: str) -> bool:
        """Whether it has the file, which then is here, whole."""
        from huggingface_hub import constants, hf_hub_download, try_to_load_from_cache
        from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

        found = try_to_load_from_cache(self.wanted.id, name, revision=self._commit)
        if found is None:
            if constants.HF_HUB_OFFLINE:
                raise refusals.not_cached(self.wanted)
            self._tell(f"fetching {name} of {self.wanted}")
            try:
                found = hf_hub_download(
                    self.wanted.id, name, revision=self._commit, tqdm_class=bar(name, self._tell)
                )
            except LocalEntryNotFoundError:
                raise
            except EntryNotFoundError:
                return False
        if not isinstance(found, str):  # the cache knows that there is none
            return False
        self._check(Path(found))
        self._folder = Path(found).parent
        return True

    def lists(self, name: str) -> bool:
        """Whether it has the file, without fetching it."""
        from huggingface_hub import constants, file_exists

        if constants.HF_HUB_OFFLINE:
            return False
        return bool(file_exists(self.wanted.id, name, revision=self._commit))

    def _check(self, path: Path) -> None:
        """Hold a file against the name of the blob that it is a link to, which is its hash."""
        if not path.is_symlink():  # as on Windows: nothing here says what it should be
            return
        blob = path.parent / path.readlink()
        if not _is_as_named(blob):
            path.unlink()
            blob.unlink()
            raise refusals.damaged(self.wanted, path.name)


def _is_as_named(blob: Path) -> bool:
    """Whether it has the hash that is its name; other names, as of mirrors, say nothing."""
    if re.fullmatch("[0-9a-f]{64}", blob.name):  # of a large file
        return files.sha256(blob) == blob.name
    if re.fullmatch("[0-9a-f]{40}", blob.name):  # Git's; a mirror may have the plain one
        data = blob.read_bytes()
        header = b"blob %d\0" % len(data)
        return blob.name in {_sha1(header + data), _sha1(data)}
    return True


def _sha1(data: bytes) -> str:
    return hashlib.sha1(data, usedforsecurity=False).hexdigest()
