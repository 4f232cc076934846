"""prepare_corpus through the real Hub client, against a Hub on the loopback."""

import gzip
import hashlib
import io
import json
import os
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.hub_child import Child, lines
from tests.hub_server import HubServer


def three_splits(word: str) -> dict[str, bytes]:
    return {
        "README.md": b"# no settings\n",
        "train.jsonl": lines((f"Ein {word}", f"a {word}"), ("Zwei", "two"), (" ", "blank")),
        "val.jsonl": lines(("Zwei", "two"), ("Drei", "three")),
        "test.jsonl": lines(("Vier", "four")),
    }


def parquet(rows: list[dict[str, Any]]) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows), buffer)
    return buffer.getvalue()


def parquet_with_pictures(pictures: str, columns: dict[str, str]) -> bytes:
    """Return Parquet whose metadata say that a column of texts holds images; its texts are where those are."""
    features = {
        name: {"_type": "Image"} if name == pictures else {"dtype": "string", "_type": "Value"} for name in columns
    }
    info = json.dumps({"info": {"features": features}})
    values = {name: {"bytes": None, "path": text} if name == pictures else text for name, text in columns.items()}
    stored = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    arrays = {name: pa.array([value] * 5, stored if name == pictures else None) for name, value in values.items()}
    table = pa.table(arrays).replace_schema_metadata({"huggingface": info})
    buffer = io.BytesIO()
    pq.write_table(table, buffer)
    return buffer.getvalue()


@pytest.mark.parametrize("canary", ["a file of this machine", "an address"])
def test_what_a_data_set_calls_an_image_is_not_opened(
    hub: HubServer, prepare: Child, tmp_path: Path, canary: str
) -> None:
    os.mkfifo(tmp_path / "canary")  # Whoever opens it waits for ever.
    place = f"{hub.url}/canary.png" if canary == "an address" else str(tmp_path / "canary")
    name = f"lab/{canary.replace(' ', '-')}"
    hub.publish(name, {"train.parquet": parquet_with_pictures("de", {"de": place, "en": "a dog"})})
    refused = prepare(tmp_path, dataset=name)
    assert refused["message"] == f"{name} train: its column de holds Image, not text; name another column"
    several = {"de": "Ein Hund", "en": "a dog", "picture": place}
    hub.publish(name, {"train.parquet": parquet_with_pictures("picture", several)})
    made = prepare(tmp_path, dataset=name, validation_size=1, test_size=1)
    assert "has only 1 distinct pairs" in made["message"], "its texts are read"
    assert not [request for request in hub.requests if "canary" in request]


CARDS = ["a: " + "[" * 5000, "a: &a [*a]", "dataset_info: &a [*a]", "configs: &a [*a]", "configs: 3", "dataset_info: 3"]


@pytest.mark.parametrize("card", CARDS)
def test_a_card_that_is_broken_or_without_end(hub: HubServer, prepare: Child, tmp_path: Path, card: str) -> None:
    hub.publish("lab/card", three_splits("Hund") | {"README.md": f"---\n{card}\n---\n".encode()})
    refused = prepare(tmp_path, dataset="lab/card")
    assert "figures" in refused or refused["message"].startswith("corpus.dataset=lab/card: no files that can be loaded")


@pytest.mark.parametrize("name", ["train.parquet", "train.jsonl.gz"])
def test_small_files_that_fill_memory_are_refused(hub: HubServer, prepare: Child, tmp_path: Path, name: str) -> None:
    text = "x" * 10**6
    if name == "train.parquet":
        content = parquet([{"de": text, "en": "y"}] * 100)
    else:
        content = gzip.compress(lines((text, "y"))) * 100
    hub.publish(f"lab/{name}", {name: content})
    refused = prepare(tmp_path, dataset=f"lab/{name}")
    assert f"{name}: its content is more than 200 times larger than the file (" in refused["message"]


def test_a_branch_is_downloaded_and_pinned_to_its_commit(hub: HubServer, prepare: Child, tmp_path: Path) -> None:
    commit = hub.publish("lab/pinned", three_splits("Hund"))
    made = prepare(tmp_path, dataset="lab/pinned")
    assert made["figures"]["pairs"] == {"train": 2, "validation": 2, "test": 1}
    assert made["figures"]["blank"] == {"train": 1, "validation": 0, "test": 0}
    assert made["figures"]["leaks"] == {"validation": {"exact": 1}}
    hashes = {
        name: hashlib.sha256(content).hexdigest() for name, content in three_splits("Hund").items() if "json" in name
    }
    assert made["figures"]["origin"] == {"dataset": "lab/pinned", "subset": None, "commit": commit, "files": hashes}
    manifest = json.loads((Path(made["path"]) / "manifest.json").read_text())
    assert manifest["inputs"] == {"commit": commit}
    assert set(manifest["files"]) == {
        *("train.jsonl", "validation.jsonl", "test.jsonl", "dropped.jsonl", "cleaning.md"),
    }
    again = prepare(tmp_path, dataset="lab/pinned")
    assert again["reused"]
    assert again["fingerprint"] == made["fingerprint"]
    assert prepare.stderr.read_text() == ""


def test_a_branch_that_moved_is_a_new_corpus(hub: HubServer, prepare: Child, tmp_path: Path) -> None:
    hub.publish("lab/moved", three_splits("Hund"))
    first = prepare(tmp_path, dataset="lab/moved")
    commit = hub.publish("lab/moved", three_splits("Kater"))
    second = prepare(tmp_path, dataset="lab/moved")
    assert second["figures"]["origin"]["commit"] == commit
    assert not second["reused"]
    assert second["fingerprint"] != first["fingerprint"]


def test_without_the_hub_no_older_build_is_used(hub: HubServer, prepare: Child, tmp_path: Path) -> None:
    commit = hub.publish("lab/away", three_splits("Hund"))
    made = prepare(tmp_path, dataset="lab/away")
    hub.stop()
    try:
        refused = prepare(tmp_path, dataset="lab/away")
        elsewhere = prepare(tmp_path / "other", dataset="lab/away")
        pinned = prepare(tmp_path, dataset="lab/away", revision=commit)
    finally:
        hub.start()
    assert refused["error"] == "ExternalError"
    assert refused["message"] == (
        f"corpus.dataset=lab/away: cannot get corpus.revision=main from {hub.url} "
        "(ConnectError: [Errno 111] Connection refused); try again, set corpus.path=FOLDER to a local copy, "
        f"or set corpus.revision={commit}, which is in the store"
    )
    assert elsewhere["message"].endswith("; try again, or set corpus.path=FOLDER to a local copy")
    assert pinned["reused"]
    assert pinned["fingerprint"] == made["fingerprint"]


def test_a_commit_in_the_store_needs_no_request(hub: HubServer, prepare: Child, tmp_path: Path) -> None:
    commit = hub.publish("lab/commit", three_splits("Hund"))
    assert not prepare(tmp_path, dataset="lab/commit", revision=commit)["reused"]
    before = len(hub.requests)
    assert prepare(tmp_path, dataset="lab/commit", revision=commit)["reused"]
    assert len(hub.requests) == before


def test_downloads_that_fail_after_the_commit_is_known(hub: HubServer, prepare: Child, tmp_path: Path) -> None:
    hub.publish("lab/failing", three_splits("Hund"))
    prepare(tmp_path, dataset="lab/failing")
    hub.publish("lab/failing", three_splits("Kater"))
    hub.repositories["lab/failing"].downloads_fail = True
    refused = prepare(tmp_path, dataset="lab/failing")
    assert refused["error"] == "ExternalError"
    assert "cannot get corpus.revision=main" in refused["message"]
    hub.repositories["lab/failing"].downloads_fail = False
    assert prepare(tmp_path, dataset="lab/failing")["figures"]["pairs"]["train"] == 2


def test_another_commit_than_asked_for_is_refused(hub: HubServer, prepare: Child, tmp_path: Path) -> None:
    commit = hub.publish("lab/lying", three_splits("Hund"))
    other = "f" * 40
    hub.repositories["lab/lying"].claimed_commit = other
    refused = prepare(tmp_path, dataset="lab/lying", revision=commit)
    assert refused["error"] == "ExternalError"
    assert refused["message"].startswith(f"corpus.revision={commit}: the Hub answered with commit {other} of lab/lying")


def test_a_file_that_is_not_the_commits_is_refused_and_not_kept(hub: HubServer, prepare: Child, tmp_path: Path) -> None:
    files = three_splits("Hund")
    hub.publish("lab/tampered", files)
    hub.repositories["lab/tampered"].tampered["test.jsonl"] = files["test.jsonl"].replace(b"four", b"five")
    refused = prepare(tmp_path, dataset="lab/tampered")
    assert refused["error"] == "ExternalError"
    assert "the downloaded test.jsonl differs from commit" in refused["message"]
    hub.repositories["lab/tampered"].tampered.clear()
    assert prepare(tmp_path, dataset="lab/tampered")["figures"]["pairs"]["test"] == 1


def test_nested_columns_and_large_files(hub: HubServer, prepare: Child, tmp_path: Path) -> None:
    rows = [{"translation": {"de": f"Satz {n}", "en": f"sentence {n}"}, "note": n} for n in range(9)]
    hub.publish("lab/nested", {"data/train-00000-of-00001.parquet": parquet(rows)})
    config = {"dataset": "lab/nested", "validation_size": 2, "test_size": 3}
    refused = prepare(tmp_path, **config)
    assert refused["message"] == (
        "corpus.source_column=de: lab/nested train has no column de; its columns are note, translation.de, "
        "translation.en; did you mean translation.de?"
    )
    nested = {"source_column": "translation.de", "target_column": "translation.en"}
    made = prepare(tmp_path, **config, **nested)
    assert made["figures"]["pairs"] == {"train": 4, "validation": 2, "test": 3}
    assert made["figures"]["held_out"] == ["validation", "test"]


def test_bad_rows_may_be_skipped(hub: HubServer, prepare: Child, tmp_path: Path) -> None:
    rows = [{"de": f"Satz {n}", "en": None if n == 3 else f"sentence {n}"} for n in range(9)]
    hub.publish("lab/nulls", {"train.parquet": parquet(rows)})
    config = {"dataset": "lab/nulls", "validation_size": 2, "test_size": 3}
    refused = prepare(tmp_path, **config)
    assert refused["message"].startswith("corpus.target_column=en: lab/nulls train row 4 holds null, not text; correct")
    assert refused["message"].endswith(", or set corpus.skip_bad_lines=1 to skip it")
    made = prepare(tmp_path, **config, skip_bad_lines=1)
    assert made["figures"]["pairs"] == {"train": 3, "validation": 2, "test": 3}
    assert made["figures"]["skipped"] == {"lines": 1, "first": ["lab/nulls train row 4"]}


SUBSETS = b"""---
configs:
- config_name: de-en
  data_files: [{split: train, path: de/train.jsonl}, {split: dev, path: de/dev.jsonl}]
- config_name: fr-en
  data_files: [{split: train, path: fr/train.jsonl}]
---
"""


def test_subsets(hub: HubServer, prepare: Child, tmp_path: Path) -> None:
    train = lines(*((f"Satz {n}", f"sentence {n}") for n in range(5)))
    files = {"README.md": SUBSETS, "de/train.jsonl": train, "de/dev.jsonl": lines(("x", "y")), "fr/train.jsonl": train}
    hub.publish("lab/subsets", files)
    config = {"dataset": "lab/subsets", "test_size": 1}
    assert prepare(tmp_path, **config)["message"] == (
        "corpus.subset=null: lab/subsets has several subsets; choose one of de-en, fr-en"
    )
    assert prepare(tmp_path, **config, subset="da-en")["message"] == (
        "corpus.subset=da-en: lab/subsets has no such subset; choose one of de-en, fr-en"
    )
    made = prepare(tmp_path, **config, subset="de-en")
    assert made["figures"]["pairs"] == {"train": 4, "validation": 1, "test": 1}
    assert made["figures"]["held_out"] == ["test"]


def test_a_test_set_is_one_split_and_nothing_else_is_downloaded(hub: HubServer, prepare: Child, tmp_path: Path) -> None:
    files = {"README.md": SUBSETS, "de/train.jsonl": lines(("zu", "big")), "de/dev.jsonl": lines(("Hund", "dog"))}
    commit = hub.publish("lab/tests", files | {"fr/train.jsonl": lines(("chien", "dog"))})
    config = {"name": "news", "dataset": "lab/tests", "subset": "de-en", "split": "validation"}
    hub.requests.clear()
    made = prepare(tmp_path, **config)
    assert made["pairs"] == [["Hund", "dog"]]
    origin = {"dataset": "lab/tests", "subset": "de-en", "commit": commit, "split": "validation"}
    assert made["origin"] == origin | {"files": {"de/dev.jsonl": hashlib.sha256(files["de/dev.jsonl"]).hexdigest()}}
    fetched = {request.rpartition("/")[2] for request in hub.requests if request.endswith(".jsonl")}
    assert fetched == {"dev.jsonl"}
    assert prepare(tmp_path, **config)["reused"]
    by_its_own_name = prepare(tmp_path, **config | {"split": "dev"})
    assert by_its_own_name["pairs"] == made["pairs"]
    assert prepare(tmp_path, **config | {"split": "test"})["message"] == (
        "evaluation.test_sets, news: split=test: lab/tests has no such split; choose one of train, dev, or another "
        "subset"
    )
    gone = prepare(tmp_path, **config | {"revision": "v9"})["message"]
    assert gone.startswith("evaluation.test_sets, news: revision=v9: lab/tests has no such branch, tag or commit;")
    hub.stop()
    away = prepare(tmp_path, **config)
    pinned = prepare(tmp_path, **config | {"revision": commit})
    hub.start()
    assert away["error"] == "ExternalError"
    assert f"or set revision={commit}, which is in the store" in away["message"]
    assert pinned["reused"], "what is pinned needs no network"


def test_what_the_user_named_is_not_there(hub: HubServer, prepare: Child, tmp_path: Path) -> None:
    hub.publish("lab/here", three_splits("Hund"))
    hub.publish("lab/gated", three_splits("Hund"))
    hub.repositories["lab/gated"].gated = True
    hub.publish("lab/bare", {"README.md": b"nothing else"})
    hub.publish("lab/onlytest", {"test.jsonl": lines(("x", "y"))})
    hub.publish("lab/broken", {"train.jsonl": b'{"de": "x", \n'})
    messages = {
        "no such data set": prepare(tmp_path, dataset="lab/nowhere"),
        "correct it, or set corpus.revision=main": prepare(tmp_path, dataset="lab/here", revision="v9"),
        "not the name of a Hub data set": prepare(tmp_path, dataset="a/b/c"),
        "gated dataset on the Hub": prepare(tmp_path, dataset="lab/gated"),
        "no files that can be loaded": prepare(tmp_path, dataset="lab/bare"),
        "no train split, only test": prepare(tmp_path, dataset="lab/onlytest"),
        "its files cannot be read": prepare(tmp_path, dataset="lab/broken"),
    }
    for part, answer in messages.items():
        assert answer["error"] == "InputError", answer
        assert part in answer["message"]
        assert "\n" not in answer["message"]


def test_offline_mode(hub: HubServer, tmp_path: Path) -> None:
    child = Child(tmp_path, hub.url, HF_HUB_OFFLINE="1")
    refused = child(tmp_path / "store", dataset="lab/pinned")
    child.stop()
    assert refused["error"] == "ExternalError"
    assert "OfflineModeIsEnabled" in refused["message"]
