"""Downloads from a Hub that breaks off, is busy, sends what is wrong, or asks who one is."""

import json
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest

from tests.hub_child import Child, lines
from tests.hub_server import TOKEN, HubServer, blob_id

TRAIN = lines(*((f"Satz {number}", f"sentence {number}") for number in range(2_000)))
FILES = {
    "README.md": b"---\nlicense: cc-by-4.0\n---\n# Sentences\n\n```bibtex\n@misc{s, title = {Sentences}}\n```\n",
    "train.jsonl": TRAIN,
    "val.jsonl": lines(("Zwei", "two")),
    "test.jsonl": lines(("Vier", "four")),
}
CARD = {"license": "cc-by-4.0", "citation": "@misc{s, title = {Sentences}}"}


def files(name: str) -> dict[str, bytes]:
    """Return the files with a first pair of their own, so that no cache has them."""
    return FILES | {"train.jsonl": lines((name, name)) + TRAIN}


def test_what_a_corpus_was_made_from_is_recorded(hub: HubServer, prepare: Child, tmp_path: Path) -> None:
    commit = hub.publish("lab/facts", FILES)
    origin = prepare(tmp_path, dataset="lab/facts")["figures"]["origin"]
    hashes = origin.pop("files")
    assert origin == {"dataset": "lab/facts", "subset": None, "commit": commit, **CARD}
    assert hashes.keys() == FILES.keys() - {"README.md"}
    assert all(len(digest) == 64 for digest in hashes.values())
    of_a_set = prepare(tmp_path, name="news", dataset="lab/facts")["origin"]
    assert of_a_set["license"] == "cc-by-4.0"
    assert of_a_set["files"] == {"test.jsonl": hashes["test.jsonl"]}


def test_a_connection_that_breaks_goes_on_where_it_broke(hub: HubServer, prepare: Child, tmp_path: Path) -> None:
    hub.publish("lab/breaking", files("breaking"))
    hub.repositories["lab/breaking"].breaks_after["train.jsonl"] = [30_000, 0, 40_000]
    hub.ranges.clear()
    made = prepare(tmp_path, dataset="lab/breaking")
    assert made["figures"]["pairs"]["train"] == 2_001
    assert hub.ranges == ["train.jsonl bytes=30000-", "train.jsonl bytes=30000-", "train.jsonl bytes=70000-"]
    told = prepare.told()
    assert told.count("lab/breaking: train.jsonl: the connection broke") == 3
    assert "asking again in 0.5 s (1 of 5)" in told


def test_what_has_arrived_is_there_for_the_next_run(hub: HubServer, prepare: Child, tmp_path: Path) -> None:
    hub.publish("lab/stopping", files("stopping"))
    hub.repositories["lab/stopping"].breaks_after["train.jsonl"] = [50_000]
    hub.repositories["lab/stopping"].closes = True
    refused = prepare(tmp_path, dataset="lab/stopping")
    assert refused["error"] == "ExternalError"
    assert refused["message"].startswith("corpus.dataset=lab/stopping: cannot get corpus.revision=main from")
    hub.ranges.clear()
    assert prepare(tmp_path, dataset="lab/stopping")["figures"]["pairs"]["train"] == 2_001
    assert hub.ranges == ["train.jsonl bytes=50000-"]
    assert not list(Path(prepare.home).rglob("*.incomplete"))


def test_a_part_that_is_wrong_is_found_and_fetched_anew(hub: HubServer, prepare: Child, tmp_path: Path) -> None:
    content = files("spoilt")
    hub.publish("lab/spoilt", content)
    blobs = Path(prepare.home) / "hf/hub/datasets--lab--spoilt/blobs"
    blobs.mkdir(parents=True)
    (blobs / f"{blob_id(content['train.jsonl'])}.incomplete").write_bytes(b"x" * 1_000)
    assert prepare(tmp_path, dataset="lab/spoilt")["figures"]["pairs"]["train"] == 2_001
    assert "train.jsonl arrived with another hash than commit" in prepare.told()


def test_a_wrong_file_is_asked_for_once_more(hub: HubServer, prepare: Child, tmp_path: Path) -> None:
    hub.publish("lab/wrong", files("wrong"))
    repository = hub.repositories["lab/wrong"]
    repository.tampered["test.jsonl"] = FILES["test.jsonl"].replace(b"four", b"five")
    repository.tampered_answers = 1
    assert prepare(tmp_path, dataset="lab/wrong")["figures"]["pairs"]["test"] == 1
    assert "test.jsonl arrived with another hash than commit" in prepare.told()


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize("header", ["seconds", "date", "none"])
def test_a_busy_hub_is_waited_for_as_long_as_it_asks(
    hub: HubServer, prepare: Child, tmp_path: Path, status: int, header: str
) -> None:
    name = f"lab/busy-{status}-{header}"
    hub.publish(name, FILES)
    soon = format_datetime(datetime.now(UTC) + timedelta(seconds=2), usegmt=True)
    headers = {"seconds": {"Retry-After": "1"}, "date": {"Retry-After": soon}, "none": {}}[header]
    hub.repositories[name].busy.append((status, headers))
    assert prepare(tmp_path, dataset=name)["figures"]["pairs"]["train"] == 2_000
    words = {429: "429 Too Many Requests", 503: "503 Service Unavailable"}[status]
    asked = "" if header == "none" else " and asks to wait"
    assert f"{name}: the Hub answers {words}{asked}; asking again in" in prepare.told()


def test_every_kind_of_request_is_patient(hub: HubServer, prepare: Child, tmp_path: Path) -> None:
    """The data set has a page, a list of files, their hashes, and the files: each answers once that it is busy."""
    hub.publish("lab/all-busy", files("all-busy"))
    hub.requests.clear()
    prepare(tmp_path, dataset="lab/all-busy")
    kinds = len(hub.requests)
    assert kinds > 8
    for number in range(0, kinds, 2):
        hub.publish("lab/all-busy", files(f"all-busy {number}"))
        hub.repositories["lab/all-busy"].busy_from = number
        assert "figures" in prepare(tmp_path, dataset="lab/all-busy"), hub.requests[number]


def test_who_is_asked_to_wait_too_long_is_told(hub: HubServer, prepare: Child, tmp_path: Path) -> None:
    commit = hub.publish("lab/full", FILES)
    hub.repositories["lab/full"].busy.append((429, {"Retry-After": "3600"}))
    refused = prepare(tmp_path, dataset="lab/full")
    assert refused["error"] == "ExternalError"
    assert refused["message"] == (
        f"corpus.dataset=lab/full: cannot get corpus.revision=main from {hub.url} (429 Too Many Requests, it asks to "
        "wait 3,600 s); try again later, when what has arrived is not fetched again, or set corpus.path=FOLDER to a "
        "local copy"
    )
    assert prepare(tmp_path, dataset="lab/full", revision=commit)["figures"]["pairs"]["test"] == 1


def test_a_private_data_set_is_read_with_a_token_alone(hub: HubServer, prepare: Child, tmp_path: Path) -> None:
    hub.publish("lab/private", FILES)
    hub.repositories["lab/private"].private = True
    refused = prepare(tmp_path, dataset="lab/private")
    assert refused["error"] == "InputError"
    assert refused["message"] == (
        "corpus.dataset=lab/private: the Hub has no such data set, or it is private; correct the name, or log in "
        "(`hf auth login`, or set HF_TOKEN)"
    )
    for token, expected in ((TOKEN, ""), ("hf_of_somebody_else", "the Hub refuses the token that it was sent (401")):
        home = tmp_path / token
        home.mkdir()
        child = Child(home, hub.url, HF_TOKEN=token)
        answer = child(home / "store", dataset="lab/private")
        child.stop()
        assert expected in answer.get("message", "")
        assert ("figures" in answer) == (not expected)
        seen = (
            child.told()
            + json.dumps(answer)
            + "".join(file.read_text("utf8", errors="replace") for file in home.rglob("*") if file.is_file())
        )
        assert token not in seen.replace(str(home), ""), "a token is nowhere written"


def test_a_branch_that_moves_meanwhile_is_read_at_the_commit_that_was_found(
    hub: HubServer, prepare: Child, tmp_path: Path
) -> None:
    later = hub.publish("lab/moving", files("later"))
    first = hub.publish("lab/moving", files("first"))
    hub.repositories["lab/moving"].moves_to = later
    made = prepare(tmp_path, dataset="lab/moving")
    assert made["figures"]["origin"]["commit"] == first
    assert '"source": "first"' in (Path(made["path"]) / "train.jsonl").read_text("utf8")


def test_a_full_disk_is_noticed_before_it_is_full(hub: HubServer, prepare: Child, tmp_path: Path) -> None:
    hub.publish("lab/large", FILES)
    hub.repositories["lab/large"].claimed_sizes["train.jsonl"] = 10**18
    refused = prepare(tmp_path, dataset="lab/large")
    assert refused["error"] == "ExternalError"
    assert "corpus.dataset=lab/large: 1,000,000.0 TB are to be downloaded, and " in refused["message"]
    assert refused["message"].endswith("left; free some, or set HF_HOME to a folder on another disk")


def test_a_hash_that_is_a_path_is_refused(hub: HubServer, prepare: Child, tmp_path: Path) -> None:
    hub.publish("lab/hostile", FILES)
    hub.repositories["lab/hostile"].claimed_hashes["train.jsonl"] = "../../../../stolen"
    refused = prepare(tmp_path, dataset="lab/hostile")
    assert refused["error"] == "ExternalError"
    assert refused["message"].endswith("the Hub says that the hash of train.jsonl is ../../../../stolen")
