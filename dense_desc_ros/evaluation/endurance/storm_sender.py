"""The worst camera and user that a node can have."""

import time
from collections.abc import Callable
from typing import Any

import numpy as np
from geometry_msgs.msg import PointStamped
from rclpy.qos import QoSProfile
from rclpy.serialization import serialize_message
from sensor_msgs.msg import CompressedImage

from dense_desc_interfaces.msg import Pixel
from dense_desc_ros.data.messages import stamp_to_ns
from dense_desc_ros.errors import DenseDescError
from dense_desc_ros.evaluation.endurance.accounts import MALFORMED, Accounts
from dense_desc_ros.evaluation.endurance.bad_frames import (
    BAD_COMPRESSED,
    BAD_FRAMES,
    BAD_INTRINSICS,
    Messages,
    compressed,
)
from dense_desc_ros.evaluation.endurance.bad_requests import (
    BAD_PARAMETERS,
    BAD_REQUESTS,
    BAD_TRANSITIONS,
    KINDS,
    UNKNOWN_VALUE,
    bad_clicks,
)
from dense_desc_ros.evaluation.endurance.control import TIMEOUT, NodeControl
from dense_desc_ros.evaluation.walls import Wall
from dense_desc_ros.nodes.client import CAMERA_TOPICS, DescriptorClient, frame_messages

SIZE = (96, 128)  # px, height and width
POINT = Pixel(u=60.0, v=50.0)  # that good frames have a grasp at
FLOOD = 10  # frames sent at once
RESTARTS = 0.2  # share of the transitions that go away from active, and back
STAMP_STEP = 33_000_000  # ns between frames at least, or colour and depth of different ones mix
PATIENCE = 10.0  # s after which a good frame is sent again
COMPRESSED_TOPICS = {
    "color": ("color/image_raw/compressed", CompressedImage),
    "depth": ("aligned_depth_to_color/image_raw/compressedDepth", CompressedImage),
}


class StormSender:
    """Sends what is bad, sometimes what is good, and keeps accounts.

    Args:
        client: of the node, connected.
        generator: decides what comes next.

    Attributes:
        accounts: of what was sent.
        good, answered: frames that the node can use, and those of them with a grasp.
        wrong: bad parameters, transitions and requests that were not refused.
    """

    def __init__(self, client: DescriptorClient, generator: np.random.Generator) -> None:
        self._client, self._control = client, NodeControl(client)
        self._generator, self._wall = generator, Wall(SIZE, 0)
        self._frames = {**BAD_FRAMES, **BAD_INTRINSICS}
        self._encode: Callable[[Messages], Messages] = lambda messages: messages
        ros, camera = client.node, f"{client.name.rpartition('/')[0]}/camera"
        self._publishers, self._compressed_publishers = (
            {
                key: ros.create_publisher(kind, f"{camera}/{topic}", QoSProfile(depth=1))
                for key, (topic, kind) in topics.items()
            }
            for topics in (CAMERA_TOPICS, COMPRESSED_TOPICS)
        )
        self._click_topic = ros.create_publisher(PointStamped, "/clicked_point", 10)
        self._clicks = bad_clicks(self._wall.frame(0, 0, generator).frame_id)
        self._steps: dict[Callable[[], None], float] = {
            self._bad_frame: 0.6,
            self._good_frame: 0.12,
            self._bad_request: 0.14,
            self._bad_parameter: 0.06,
            self._bad_click: 0.04,
            self._transition: 0.02,
            self._flood: 0.01,
            self._nonsense: 0.01,
        }
        self._stamp_ns = 0
        self.accounts = Accounts()
        self.good = self.answered = 0
        self.wrong: list[str] = []
        self._connect()
        self._show()
        answer = self._call("register_reference", name="good", pixel=POINT)
        if not answer.success:
            raise DenseDescError(f"the node refuses the good reference: {answer.message}")

    def step(self) -> None:
        """Send the next thing, whatever it is."""
        steps, shares = list(self._steps), list(self._steps.values())
        steps[self._generator.choice(len(steps), p=shares)]()

    def compress(self) -> None:
        """From now on images are sent compressed."""
        self._control.change("deactivate")
        self._control.set({"color_transport": "compressed", "depth_transport": "compressedDepth"})
        self._control.change("activate")
        self._publishers |= self._compressed_publishers
        self._encode, self._frames = compressed, {**BAD_COMPRESSED, **BAD_INTRINSICS}
        self._connect()

    def memory_mb(self) -> float:
        """Resident memory of the node now."""
        return float(self._values()["rss_mb"])

    def finish(self) -> dict[str, str]:
        """What the diagnostics say when all is done."""
        self._good_frame()  # also makes the node give up what waits for a partner
        return self._values()

    def _good_frame(self) -> None:
        self.accounts.sent["good frame"] += 1
        self.good += 1
        self.answered += self._show()

    def _bad_frame(self) -> None:
        key = str(self._generator.choice(list(self._frames)))
        self._send_bad(key)
        self._wait_for_work()
        if key in BAD_INTRINSICS:
            self._publish_intrinsics(self._messages()["camera_info"])

    def _send_bad(self, key: str) -> None:
        if key in BAD_INTRINSICS:
            self._good_frame()  # when it is answered, no earlier one waits for intrinsics
        bad, messages = self._frames[key], self._messages()
        bad.damage(messages)
        self.accounts.sent[key] += 1
        self.accounts.expected[bad.counted] += bad.times
        if key in BAD_INTRINSICS:
            self._publish_intrinsics(messages.pop("camera_info"))
        self._publish(messages)

    def _flood(self) -> None:
        for key in self._generator.choice([*self._frames.keys() - BAD_INTRINSICS.keys()], FLOOD):
            self._send_bad(str(key))
        self._wait_for_work()

    def _nonsense(self) -> None:
        """Bytes that are no message, or a parameter that is none: never seen by the node's code."""
        self.accounts.sent["nonsense"] += 1
        self.accounts.expected[MALFORMED] += 1
        if self._generator.random() < 0.5:
            data = serialize_message(self._messages()["camera_info"])
            self._publishers["camera_info"].publish(data[: len(data) // 2])
        else:
            self._control.send([UNKNOWN_VALUE])
        self._wait_for_work()

    def _bad_request(self) -> None:
        key = str(self._generator.choice(list(BAD_REQUESTS)))
        service, fields = BAD_REQUESTS[key]()
        self.accounts.sent[key] += 1
        self._expect_no(key, self._call(service, **fields).success)

    def _bad_parameter(self) -> None:
        key = str(self._generator.choice(list(BAD_PARAMETERS)))
        self.accounts.sent[f"parameter: {key}"] += 1
        results = self._control.set_messages([BAD_PARAMETERS[key]()])
        self._expect_no(key, any(result.successful for result in results))

    def _bad_click(self) -> None:
        key = str(self._generator.choice(list(self._clicks)))
        self.accounts.sent[f"click: {key}"] += 1
        self.accounts.requests += 1
        self.accounts.refused["click"] += 1
        self._click_topic.publish(self._clicks[key])
        self._wait_for_work()

    def _transition(self) -> None:
        if self._generator.random() < RESTARTS:
            self.accounts.sent["restart"] += 1
            self._control.change("deactivate")
            self._expect_no("deactivate twice", self._control.change("deactivate"))
            self._control.change("activate")
            self._connect()
            self._good_frame()
        else:
            label = str(self._generator.choice(BAD_TRANSITIONS))
            self.accounts.sent[f"transition: {label[:10]}"] += 1
            self._expect_no(label[:10], self._control.change(label))

    def _expect_no(self, what: str, success: bool) -> None:
        if success:
            self.wrong.append(f"{what} was not refused")

    def _show(self) -> bool:
        """Send a good frame, again if it gets lost; whether there is a grasp in it."""
        end = time.monotonic() + TIMEOUT
        while True:
            self.accounts.expected["processed"] += 1
            self._publish(self._messages())
            try:
                self._client.wait(self._is_answered, "grasps", PATIENCE)
            except TimeoutError:
                if time.monotonic() > end:
                    raise
            else:
                return bool(self._client.grasps[-1].grasps)

    def _is_answered(self) -> bool:
        grasps = self._client.grasps
        return bool(grasps) and stamp_to_ns(grasps[-1].header.stamp) == self._stamp_ns

    def _messages(self) -> Messages:
        """A good frame of now, or a little later if the one before is so new."""
        self._stamp_ns = max(time.time_ns(), self._stamp_ns + STAMP_STEP)
        frame = self._wall.frame(0, 0, self._generator, self._stamp_ns)
        return self._encode(frame_messages(frame))

    def _publish(self, messages: Messages) -> None:
        self.accounts.color += "color" in messages
        self.accounts.depth += "depth" in messages
        for key, message in messages.items():
            self._publishers[key].publish(message)

    def _publish_intrinsics(self, message: Any) -> None:
        """Until the frames that follow are worked on with them."""
        self._publish({"camera_info": message})
        self._wait_for_work()

    def _call(self, service: str, **fields: Any) -> Any:
        answer = self._client.call(service, TIMEOUT, **fields)
        self.accounts.requests += 1
        self.accounts.refused[KINDS[service]] += not answer.success
        if "internal error" in answer.message:
            self.wrong.append(answer.message)
        return answer

    def _wait_for_work(self) -> None:
        """Until the node has done what it got: requests are answered after the work on frames."""
        for _ in range(2):  # one may overtake the frames, as it comes by another topic
            self._call("compute_grasp", names=["nothing"])

    def _connect(self) -> None:
        """Wait until the node listens to what is sent."""
        publishers = [*self._publishers.values(), self._click_topic]
        self._client.wait(
            lambda: all(publisher.get_subscription_count() for publisher in publishers),
            "the subscriptions",
            TIMEOUT,
        )

    def _values(self) -> dict[str, str]:
        """Of the next diagnostics that are certainly made after now."""
        for _ in range(2):
            self._client.state = None
            self._client.wait(lambda: self._client.state is not None, "diagnostics", TIMEOUT)
        return self._client.values()
