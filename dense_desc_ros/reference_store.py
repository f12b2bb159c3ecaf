"""The references of one model: in memory, and in a folder on disk."""

import threading
from collections.abc import Iterator
from pathlib import Path

from dense_desc_ros.errors import ReferenceStoreError
from dense_desc_ros.files import remove_leftovers, write_atomically
from dense_desc_ros.references import Reference, check_name

MAX_REFERENCES = 1000  # more are a fault of the caller, and would fill memory and disk


class ReferenceStore:
    """The references of one model, in memory and in a folder of safetensors files.

    Every change is on disk before the call returns, and a file is always whole: a process killed at
    any moment loses nothing that was acknowledged. Safe to use from several threads.

    Args:
        folder: where the files are; created when missing.
        fingerprint: of the model in use. Files of other models are left alone and listed in
            `problems`, like files that cannot be read.

    Raises:
        ReferenceStoreError: the folder cannot be used.
    """

    SUFFIX = ".safetensors"

    def __init__(self, folder: str | Path, fingerprint: str) -> None:
        self.folder = Path(folder)
        self.fingerprint = fingerprint
        self.problems: dict[str, str] = {}
        self._references: dict[str, Reference] = {}
        self._lock = threading.RLock()
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            remove_leftovers(self.folder)
            files = sorted(self.folder.glob(f"*{self.SUFFIX}"))
        except OSError as error:
            raise ReferenceStoreError(f"cannot use reference folder {folder}: {error}") from error
        for path in files:
            self._load(path)

    def _load(self, path: Path) -> None:
        try:
            reference = Reference.from_file(path)
            self._check_fingerprint(reference)
            if reference.name != path.stem:
                raise ReferenceStoreError(f"{path.name} says its name is {reference.name!r}")
        except ReferenceStoreError as error:
            self.problems[path.stem] = str(error)
        else:
            self._references[reference.name] = reference

    def __len__(self) -> int:
        return len(self._references)

    def __iter__(self) -> Iterator[Reference]:
        """The references in order of name, as they are at this moment."""
        with self._lock:
            return iter([self._references[name] for name in sorted(self._references)])

    def names(self) -> list[str]:
        """Names of all usable references, sorted."""
        with self._lock:
            return sorted(self._references)

    def get(self, name: str) -> Reference:
        """The reference of that name.

        Raises:
            ReferenceStoreError: there is none, or its file is unusable.
        """
        with self._lock:
            if name in self._references:
                return self._references[name]
        if name in self.problems:
            raise ReferenceStoreError(self.problems[name])
        known = ", ".join(self.names()) or "none"
        raise ReferenceStoreError(f"unknown reference {name[:80]!r}; registered: {known}")

    def add(self, reference: Reference) -> Reference:
        """Store a reference, replacing the one of its name, and return what is stored.

        Args:
            reference: made by this store's model.

        Raises:
            ReferenceStoreError: made by other weights; or a file that cannot be used (of another
                model, corrupt) has this name, and would be lost; or there are MAX_REFERENCES.
            OSError: it could not be written; the old one is untouched.
        """
        self._check_fingerprint(reference)
        with self._lock:
            name = reference.name
            if name in self.problems:
                raise ReferenceStoreError(
                    f"{self.problems[name]}. Remove it first, or use another name or folder"
                )
            if name not in self._references and len(self) >= MAX_REFERENCES:
                raise ReferenceStoreError(
                    f"there are {MAX_REFERENCES} references, as many as there may be: remove some"
                )
            write_atomically(self._path(name), reference.to_bytes())
            self._references[name] = reference
            return reference

    def remove(self, name: str) -> None:
        """Delete a reference, also one whose file cannot be used.

        Raises:
            InvalidInputError: not a possible name.
            ReferenceStoreError: there is none.
        """
        check_name(name)
        with self._lock:
            if name not in self.problems:
                self.get(name)
            self._path(name).unlink(missing_ok=True)
            self._references.pop(name, None)
            self.problems.pop(name, None)

    def _path(self, name: str) -> Path:
        return self.folder / f"{check_name(name)}{self.SUFFIX}"

    def _check_fingerprint(self, reference: Reference) -> None:
        if reference.fingerprint != self.fingerprint:
            raise ReferenceStoreError(
                f"reference {reference.name!r} was made by other weights "
                f"({reference.fingerprint[:12]}) than those in use ({self.fingerprint[:12]}): "
                "register it again"
            )
