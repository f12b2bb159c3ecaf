"""Who may label, what is refused, and frames in any order."""

import http.client
import json
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest
from bag_scene import color, depth, info, whole, write_ros1, write_ros2, write_unindexed
from labelled_scene import bag_fixture, server_fixture  # noqa: F401
from replayed_scene import FRAMES, call, recorded

from dense_desc_ros.data.any_bag import AnyBag
from dense_desc_ros.data.indexed_recording import IndexedRecording
from dense_desc_ros.data.recordings import Recording
from dense_desc_ros.errors import DataError
from dense_desc_ros.evaluation.replay.inputs import Click, Label, read_truth
from dense_desc_ros.labelling.label_file import LabelFile
from dense_desc_ros.labelling.server import MOST_BYTES, LabelServer


def ask(server: LabelServer, path: str, method: str = "GET", **headers: str | None) -> Any:
    """The status and the body of an answer; headers that are None are left out."""
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=20)
    body = headers.pop("body", None)
    given = {"Host": server.authority, "Origin": server.origin, "Content-Type": "application/json"}
    given |= {name.replace("_", "-"): value for name, value in headers.items()}
    connection.putrequest(method, path, skip_host=True)
    for name, value in given.items():
        if value is not None:
            connection.putheader(name, value)
    if body is not None:
        connection.putheader("Content-Length", str(len(body)))
    connection.endheaders(None if body is None else body.encode())
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    return answer.status, content, answer.headers


def test_only_the_page_itself_may_ask(server: LabelServer) -> None:
    root, path = f"/{server.token}/", server.file.path
    good = json.dumps(
        {"labels": {"a": {"register": None, "points": {"0": None}}}, "revision": None}
    )
    status, page, headers = ask(server, root, Origin=None)
    assert status == 200 and b"label.js" in page
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    assert headers["Referrer-Policy"] == "no-referrer" and "Access-Control" not in str(headers)
    assert server.socket.getsockname()[0] == "127.0.0.1"
    elsewhere = f"localhost:{server.server_port}"
    refused: list[tuple[int, str, dict[str, Any]]] = [
        (403, "/", {}),
        (403, "/session", {}),
        (403, f"/{server.token[:-1]}/session", {}),
        (403, f"{root}session", {"Host": elsewhere}),
        (403, f"{root}session", {"Host": "evil.example"}),
        (403, f"{root}session", {"Origin": "http://evil.example"}),
        (403, f"{root}session", {"Origin": "null"}),
        (403, f"{root}session", {"Origin": None, "Sec_Fetch_Site": "cross-site"}),
        (404, f"{root}../../server.py", {}),
        (404, f"{root}page/label.js", {}),
        (422, f"{root}frames/{FRAMES}.png", {}),
        (404, f"{root}frames/-1.png", {}),
    ]
    for headers in ({"Origin": None}, {"Origin": "http://evil.example"}, {"Host": elsewhere}):
        refused.append((403, f"{root}labels", {"method": "PUT", "body": good, **headers}))
    for status, headers in (
        (404, {"path": f"{root}session"}),
        (415, {"Content_Type": "text/plain"}),
        (411, {"body": None}),
        (413, {"body": None, "Content_Length": str(MOST_BYTES + 1)}),
        (422, {"body": "[" * 100_000}),
        (422, {"body": "{}"}),
    ):
        put = {"path": f"{root}labels", "method": "PUT", "body": good} | headers
        refused.append((status, str(put.pop("path")), put))
    for status, where, how in refused:
        got, body, _ = ask(server, where, **how)
        assert got == status, (where, how, got, body)
        assert json.loads(body)["error"]
    assert not path.exists()
    assert ask(server, f"{root}labels", "PUT", body=good)[0] == 200
    assert read_truth(path) == {"a": {0: None}}


def test_labels_that_are_none_are_refused(server: LabelServer) -> None:
    for labels in (
        *([], {"a b": {"register": None, "points": {}}}, {"a": {}}, {"a": {"points": []}}),
        {"a": {"register": 0, "points": {"0": None}}},
        {"a": {"register": None, "points": {"x": [1, 2]}}},
        {"a": {"register": None, "points": {"0": [1, "2"]}}},
        {"a": {"register": None, "points": {str(FRAMES): [1, 2]}}},
        {"a": {"register": None, "points": {"0": [1, float("inf")]}}},
    ):
        body = json.dumps({"labels": labels, "revision": None})
        status, answer, _ = ask(server, f"/{server.token}/labels", "PUT", body=body)
        assert status == 422 and json.loads(answer)["error"], labels
    assert not server.file.path.exists()


def test_files_that_cannot_be_gone_on_with(bag: Path, tmp_path: Path) -> None:
    file = tmp_path / "labels.yaml"
    for content, reason in (
        ("a: {frame: 0, pixel: [1, 2], 0: [3, 4]}", "remove one of them"),
        (f"a: {{{FRAMES}: [1, 2]}}", "are the labels those of another one?"),
        ("a: {frame: 0}", "go together"),
        ("[", "cannot read"),
    ):
        file.write_text(content)
        code, printed, said = call("label", bag, "--out", file, "--no-open")
        assert (code, printed) == (2, "") and reason in said
        assert "error: " in said and file.read_text() == content
    file.write_text("a: {frame: 2, pixel: [1, 2]}")  # for --registrations alone
    assert LabelFile(file).read()[0] == {"a": Label(Click(2, (1, 2)), {2: (1, 2)})}


@pytest.mark.parametrize("form", ["mcap", "sqlite3", "ros1", "unindexed"])
def test_frames_in_any_order(form: str, tmp_path: Path) -> None:
    frames = recorded(8)
    late = frames[3].stamp_ns + 50_000_000  # the depth is recorded after the next colour
    records = [info(frames[0].camera, 1)]
    for n, frame in enumerate(frames):
        records += [color(frame), depth(frame, late if n == 3 else None)]
    records.sort(key=lambda record: record.recorded_ns)
    match form:
        case "ros1":
            path = write_ros1(tmp_path / "bag.bag", records)
        case "unindexed":
            path = write_unindexed(tmp_path / "bag.mcap", records)
        case _:
            path = write_ros2(tmp_path / "bag", records, form)
    with Recording(path) as recording:
        expected = list(recording.frames())
    with IndexedRecording(path) as indexed:
        index = indexed.index()
        assert [each.number for each in index] == [each.number for each in expected]
        for n in (5, 0, 7, 3, 3):
            with mock.patch.object(
                AnyBag, "decode", autospec=True, side_effect=AnyBag.decode
            ) as do:
                found = indexed.read(index[n])
            # Nothing is decoded but the messages of that frame, and of one that is mixed with it.
            assert 2 <= do.call_count <= 4
            assert (found.number, found.seconds) == (n, expected[n].seconds)
            assert found.frame.stamp_ns == frames[n].stamp_ns
            np.testing.assert_array_equal(found.frame.image, expected[n].frame.image)
            np.testing.assert_array_equal(found.frame.depth, expected[n].frame.depth)
            assert found.frame.camera == expected[n].frame.camera


def test_a_frame_that_cannot_be_decoded_is_said_to_be_so(tmp_path: Path) -> None:
    frames = recorded(6)
    records = whole(frames)
    picture = frames[2].image[:100]
    camera = replace(frames[2].camera, height=100)
    small = replace(frames[2], image=picture, depth=frames[2].depth[:100], camera=camera)
    records[3 * 2 + 1] = color(small)
    with IndexedRecording(write_ros2(tmp_path / "bag", records)) as indexed:
        index = indexed.index()
        assert len(index) == 6
        with pytest.raises(DataError, match="cannot read frame 2 of bag: .*100"):
            indexed.read(index[2])
        assert indexed.read(index[3]).frame.stamp_ns == frames[3].stamp_ns
