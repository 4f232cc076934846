"""The files of a registered version, checked against its record and against the artifacts that they came from."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from pipeline.inference.subwords import SOURCE_MODEL, TARGET_MODEL, USER_SYMBOLS
from pipeline.inference.weights import WEIGHTS
from pipeline.registry.bundle import CODE, DESCRIPTION, PYFUNC, RECORD, bundle_of, code_hashes, hashes, read_record
from pipeline.registry.pull import VersionRecord
from pipeline.registry.versions import RECORD_TAG
from pipeline.store.artifact_folder import MANIFEST, file_hash
from pipeline.upkeep.artifacts import AGAIN, Checked, Problem, size_of
from pipeline.upkeep.lineage import best_weights

MLMODEL = "MLmodel"
REMEDY = "delete this version in MLflow and run the command below, which registers it again"


class BundleCheck:
    """The files of a version, downloaded, and what they say of themselves."""

    def __init__(self, version: VersionRecord, folder: Path) -> None:
        """Download them into an empty folder and compare them with their record. Nothing of them is run."""
        self._version, self._folder = version, folder
        self.checked = Checked("version", version.label, made=version.registered)
        self.record: Mapping[str, Any] = {}
        """What it was made from and how; empty for one from before there were records."""
        self.hashes: dict[str, str] = {}
        self.metadata: Mapping[str, Any] = {}
        if not version.download(folder):
            self.checked.problems.append(Problem("version", f"MLflow has no files of {version.uri}", REMEDY))
            return
        self.checked.path = folder
        self.checked.files, self.checked.bytes = size_of(folder)
        self.metadata = self._read_metadata()
        bundle = bundle_of(folder)
        if bundle is None:
            self._report("artifacts", "the folder of the model is not there")
            return
        self.hashes = hashes(bundle)
        self._check_record(bundle)

    def _report(self, file: str, what: str) -> None:
        if file not in self.checked.damaged:
            self.checked.damaged.append(file)
            self.checked.problems.append(Problem(f"version: {self._version.uri} {file}", what, REMEDY))

    def _read_metadata(self) -> Mapping[str, Any]:
        """Return what `nmt train` has written into MLflow's own description of the model."""
        try:
            content = yaml.safe_load((self._folder / MLMODEL).read_text("utf8"))
            return dict(content.get("metadata") or {})
        except (OSError, ValueError, yaml.YAMLError, AttributeError, TypeError):
            self._report(MLMODEL, "it cannot be read")
            return {}

    def _check_record(self, bundle: Path) -> None:
        wanted = self._version.tags.get(RECORD_TAG)
        if not wanted:
            for name in (WEIGHTS, SOURCE_MODEL, TARGET_MODEL, DESCRIPTION):
                if name not in self.hashes:
                    self._report(name, "it is not there")
            return
        record = read_record(bundle)
        if record is None or file_hash(bundle / RECORD) != wanted:
            self._report(RECORD, "it is not what was registered" if record else "it cannot be read")
            return
        self.record = record
        for name, digest in record["files"].items():
            if self.hashes.get(name) != digest:
                there = name in self.hashes
                self._report(name, "its bytes are not those that were registered" if there else "it is not there")
        for name in self.hashes.keys() - record["files"].keys():
            self._report(name, "it was not there when the version was registered")
        loader = self._folder / PYFUNC.name
        if not loader.is_file() or file_hash(loader) != record.get("loader"):
            self._report(PYFUNC.name, "it is not the code that was registered")

    def compare(self, training: Checked | None, tokenizer: Checked | None) -> None:
        """Compare weights and tokenizer with those of the artifacts that they were copied from."""
        if training is not None and training.manifest is not None:
            self._compare_file(WEIGHTS, best_weights(training.manifest), training)
        if tokenizer is not None and tokenizer.manifest is not None:
            for name in (SOURCE_MODEL, TARGET_MODEL, USER_SYMBOLS):
                self._compare_file(name, tokenizer.manifest["files"].get(name), tokenizer)

    def _compare_file(self, name: str, wanted: str | None, source: Checked) -> None:
        """Report a file that is another in the store: there if the version's is known to be right, else here."""
        if self.checked.path is None or self.hashes.get(name) == wanted:
            return
        if self.record and self.record["files"].get(name) == self.hashes.get(name):
            source.report(MANIFEST, f"it has another {name} than the version that was registered", AGAIN)
        elif not source.damaged:
            self._report(name, f"it is not the one of its {source.name} in the store")

    @property
    def own_code(self) -> bool:
        """Whether the code that it brings is what this program would register now."""
        own = {name: digest for name, digest in self.hashes.items() if name.startswith(f"{CODE}/")}
        return own == code_hashes()
